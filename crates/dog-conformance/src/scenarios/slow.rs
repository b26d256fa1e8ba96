//! Promises 6 and 12: a socket that does not read costs nobody anything but itself.

use std::cell::Cell;

use tokio::net::TcpSocket;

use super::{Scenario, scenario};
use crate::app::protocol::{Act, Cause, Event, Whom, waiting};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Place, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("slow_reader_is_let_go_and_others_hear_all", &[6, 12], slow_reader)
            .needing(&[Capability::BoundedOutbox]),
        scenario("busy_socket_is_read_no_further", &[7, 12], busy).needing(&[Capability::Backpressure]),
    ]
}

/// The size of one message, and the most that a server may have taken for one slow socket, the operating system's
/// buffers included.
const MESSAGE: usize = 256 << 10;
const TOO_MUCH: usize = 64 << 20;

/// A client with a small receive buffer that never reads.
async fn never_reads(place: &Place) -> Outcome<Client> {
    let entry = place.entry();
    let socket = if entry.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect(entry).await?;
    Client::open(stream, &place.path("ws", "slow"), dog::ClientId::new("slow")?).await
}

async fn slow_reader(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "slow");
    let [mut speaker, mut reader] = place.join_each(["speaker", "reader"]).await?;
    let mut slow = never_reads(&place).await?;
    same(slow.replica(), speaker.replica(), "the Replica of all three")?;
    let mut sent = 0;
    loop {
        let text = format!("{sent:020}{}", "x".repeat(MESSAGE - 20));
        let (reached, missing) = speaker.confirmed(&text, Whom::Others).await?;
        same(missing, vec![], "who did not answer")?;
        // The reader keeps up, so that it is never slow itself.
        same(reader.hear().await?, text, "the next message")?;
        sent += MESSAGE;
        ensure(sent <= TOO_MUCH, "a socket that never reads was never let go")?;
        if reached == 1 {
            break;
        }
    }
    let events = speaker.report_after(slow.id()).await?.of(slow.id());
    let [Event::Opening, Event::Opened, Event::End(end)] = &events[..] else {
        return Err(crate::check::Trouble::new(format!("a slow socket's events: {events:?}")));
    };
    same((end.error, end.code, end.lingers), (Some(Cause::TooSlow), 1013, false), "what the Replica heard")?;
    slow.ended().await?;
    speaker.obey(Act::Broadcast { text: "end".into(), to: Whom::Others }).await?;
    same(reader.hear().await?, "end", "what the others hear")
}

/// While its handler waits, a client cannot send more than buffers hold; then all of it is handled.
async fn busy(stage: Stage) -> Outcome {
    const MESSAGES: usize = TOO_MUCH / MESSAGE;
    let place = stage.pinned("hall", "busy");
    let [mut bystander, mut busy] = place.join_each(["bystander", "busy"]).await?;
    busy.tell(Act::Wait { gate: "go".into() }).await?;
    same(bystander.hear().await?, waiting("go"), "the handler")?;
    let sent = Cell::new(0);
    let sending = async {
        let mut last = 0;
        while sent.get() < MESSAGES {
            last = busy.tell_padded(Act::Sockets, MESSAGE).await?;
            sent.set(sent.get() + 1);
        }
        busy.reply(last).await
    };
    let watching = async {
        // Whenever the bystander is answered the host has had a turn: after so many without progress there is none.
        let (mut still, mut before) = (0, 0);
        while still < 100 {
            bystander.ask(Act::Sockets).await?;
            still = if sent.get() == before { still + 1 } else { 0 };
            before = sent.get();
        }
        ensure(before < MESSAGES, format!("{TOO_MUCH} bytes were read while a handler was busy"))?;
        bystander.obey(Act::Open { gate: "go".into() }).await
    };
    futures_util::try_join!(sending, watching)?;
    let handled = busy.report().await?.of(busy.id()).into_iter().filter(|event| *event == Event::Handled).count();
    same(handled, MESSAGES + 1, "messages that were handled")
}
