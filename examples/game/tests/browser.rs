//! The page of the game in real browsers: two people play a match, and who comes later goes to another one, on both hosts.
//!
//! Run them with `cargo test -p game --features browser --test browser`.

use std::net::SocketAddr;

use dog::{Env, Limit};
use dog_native::{Running, Server};
use dog_test_support::browser::{Host, Look, Window, browse};
use dog_test_support::workerd::{Disk, Worker, Workerd, any_port};
use game::app::Arcade;
use serde_json::{Value, json};

dog_test_support::on_both_hosts!(two_play_a_match_and_the_next_one_goes_to_another);

/// A script that returns the middle of what a player has in its colour, or `null` if the canvas shows nothing of it.
const PLACES: &str = "(() => {
    const { data, width } = pen.getImageData(0, 0, canvas.width, canvas.height);
    const places = COLOURS.map(() => ({ pixels: 0, x: 0, y: 0 }));
    const colours = COLOURS.map((colour) => parseInt(colour.slice(1), 16));
    for (let at = 0; at < data.length; at += 4) {
        const slot = colours.indexOf(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
        if (slot < 0 || data[at + 3] < 255) continue;
        places[slot].pixels += 1;
        places[slot].x += at / 4 % width;
        places[slot].y += Math.floor(at / 4 / width);
    }
    return places.map(({ pixels, x, y }) => pixels > 100 ? { x: x / pixels, y: y / pixels } : null);
})()";

/// A server with four seats per match.
enum Serving {
    Native(Running),
    Workerd { workerd: Workerd, _disk: Disk },
}

impl Serving {
    async fn start(host: Host) -> Self {
        match host {
            Host::Native => {
                let server = Server::new(Arcade).env(Env::new().with(Limit::new(4))).bind("127.0.0.1:0");
                Self::Native(server.start().await.expect("a port is free"))
            }
            Host::Workerd => {
                let worker =
                    Worker { folder: "game-worker", groups: &["Hall"], variables: &[("LIMIT", "4")], wrapper: None };
                let disk = Disk::new();
                Self::Workerd { workerd: worker.start(&disk, any_port()), _disk: disk }
            }
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Native(running) => running.local_addr(),
            Self::Workerd { workerd, .. } => workerd.address(),
        }
    }
}

/// Opens the page, types the name, and waits until the match has a place for it.
async fn play(window: &Window, address: SocketAddr, name: &str, slot: u32) {
    window.goto(&format!("http://{address}/")).await;
    window.eval("byId('name').focus()").await;
    window.type_keys(name).await;
    window.press(&[Window::ENTER]).await;
    window.wait_for("you", &json!(slot)).await;
}

async fn two_play_a_match_and_the_next_one_goes_to_another(host: Host) {
    let serving = Serving::start(host).await;
    let address = serving.address();
    let status_is = |text: &str| format!("byId('status').textContent.startsWith('{text}')");
    browse([Look::DESKTOP, Look::DARK, Look::PHONE], async |[ann, bob, cid]| {
        play(ann, address, "ann", 0).await;
        ann.wait_for(&status_is("Waiting"), &json!(true)).await;
        play(bob, address, "bob", 1).await;
        let names = "[...byId('players').children].map((player) => player.textContent.split(':')[0])";
        for window in [ann, bob] {
            window.wait_for(names, &json!(["ann", "bob"])).await;
            window.wait_for(&format!("{PLACES}.map(Boolean)"), &json!([true, true, false, false])).await;
        }
        // ann runs to the side where there is more room, and bob sees it.
        let from = bob.eval(&format!("{PLACES}[0].x")).await.as_f64().expect("a number");
        let (key, is_on) = if from < 400.0 { (Window::RIGHT, '>') } else { (Window::LEFT, '<') };
        let (step, yes) = (if from < 400.0 { 60.0 } else { -60.0 }, json!(true));
        let moved = format!("{PLACES}[0].x {is_on} {}", from + step);
        ann.hold(key, async { bob.wait_for(&moved, &yes).await }).await;
        ann.wait_for(&moved, &yes).await;

        for window in [ann, bob] {
            window.wait_for(&status_is("Run!"), &yes).await;
        }
        bob.picture(&format!("game{}.png", host.suffix())).await;
        play(cid, address, "cid", 0).await;
        cid.wait_for(&status_is("Waiting"), &yes).await;
        let rooms = [ann.eval("room").await, bob.eval("room").await, cid.eval("room").await];
        assert!(rooms.iter().all(Value::is_string) && rooms[0] == rooms[1] && rooms[1] != rooms[2], "{rooms:?}");
        ann.wait_for("[...names.values()]", &json!(["ann", "bob"])).await;
    })
    .await;
    if let Serving::Native(running) = serving {
        running.shutdown().await;
    }
}
