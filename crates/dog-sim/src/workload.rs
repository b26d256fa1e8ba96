//! What happens in a run: clients come, speak and go, and things break.

use std::time::Duration;

use dog::{Body, Close, CloseCode, Message, Request};
use dog_engine::address::Object;

use crate::explore::Run;
use dog_testing::websocket;
use dog_testing::world::{ClientKey, ClientState, Micros};

/// What clients say, as often as it stands here.
const VERBS: &[&str] = &[
    "all",
    "all",
    "all",
    "others",
    "emit",
    "echo",
    "confirmed",
    "many",
    "many",
    "whisper",
    "whisper",
    "gossip",
    "count",
    "count",
    "alarm",
    "attach",
    "attach",
];

/// What clients ask without a socket.
const REQUESTS: &[&str] = &["/slow", "/count", "/broadcast", "/stream", "/drop", "/group"];

impl Run {
    /// The whole run, or as much of it as goes well.
    pub(crate) fn go(&mut self) {
        for _ in 0..self.plan.rounds {
            for _ in 0..self.plan.actions {
                self.act();
                let pause = self.pause();
                if !self.pass(pause) {
                    return;
                }
            }
            if !self.settle() {
                return;
            }
        }
    }

    /// Lets time pass, and looks after every step. `false` once something is wrong.
    pub(crate) fn pass(&mut self, micros: Micros) -> bool {
        let until = self.world.after(Duration::from_micros(micros));
        self.watch.check_owed(&self.world);
        let mut looked = self.world.agenda.micros();
        while self.world.step(until) {
            self.steps += 1;
            // What is overdue changes with time only, and slowly.
            if self.world.agenda.micros() > looked + 500_000 {
                looked = self.world.agenda.micros();
                self.watch.check_owed(&self.world);
            }
            let mut ledger = self.witness.ledger();
            if !ledger.violations.is_empty() {
                return false;
            }
            ledger.now = self.world.agenda.now();
            ledger.harmed = self.world.network.borrow().harmed;
        }
        self.world.agenda.go_on_to(until);
        self.witness.ledger().violations.is_empty()
    }

    fn below(&self, end: usize) -> usize {
        self.world.random.borrow_mut().below(end)
    }

    fn happens(&self, times: u32) -> bool {
        self.world.random.borrow_mut().happens(times)
    }

    fn pick<'a>(&self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// Mostly so short that things overlap, now and then so long that things expire.
    fn pause(&self) -> Micros {
        let mut random = self.world.random.borrow_mut();
        match random.below(20) {
            0 => random.within(1_000_000..=12_000_000),
            1..=5 => random.within(50_000..=400_000),
            6..=12 => random.within(500..=20_000),
            _ => 0,
        }
    }

    fn act(&mut self) {
        if self.happens(self.plan.crashes) {
            return self.crash();
        }
        if self.happens(self.plan.cuts) {
            return self.cut();
        }
        if self.happens(self.plan.faults) {
            return self.fail();
        }
        match self.below(20) {
            0..=6 => self.connect(),
            7 => self.request(self.pick(REQUESTS)),
            8 => self.leave(),
            9 => self.stall(),
            _ => self.speak(self.pick(VERBS)),
        }
    }

    fn name(&self) -> String {
        format!("c{}", self.below(self.plan.clients))
    }

    fn path(&self, path: &str) -> String {
        format!("{path}?u={}&g=g{}", self.name(), self.below(self.plan.groups))
    }

    fn node(&self) -> usize {
        let up: Vec<usize> = (0..self.world.nodes()).filter(|node| !self.world.is_down(*node)).collect();
        up[self.below(up.len())]
    }

    fn connect(&mut self) {
        let path = if self.happens(200) { "/late" } else { "/ws" };
        let request = websocket(&self.path(path));
        let client = self.world.ask(self.node(), request);
        self.clients.push(client);
        if self.happens(80) {
            // It does not wait for the answer.
            let delay = self.world.random.borrow_mut().within(0..=100_000);
            self.world.later(delay, move |world| world.client_vanishes(client, 0));
        }
    }

    pub(crate) fn request(&mut self, path: &str) {
        self.ask(&self.path(path));
    }

    /// Somebody asks for this path and query.
    pub(crate) fn ask(&mut self, path: &str) {
        let Ok(request) = http::Request::get(path).body(Body::empty()) else { return };
        let request: Request = request;
        let client = self.world.ask(self.node(), request);
        self.clients.push(client);
    }

    /// Clients that have a socket, as far as they know.
    pub(crate) fn open_clients(&self) -> Vec<ClientKey> {
        let sockets = self.world.sockets.borrow();
        self.clients.iter().copied().filter(|client| sockets.client(*client).state == ClientState::Open).collect()
    }

    fn any_open(&self) -> Option<ClientKey> {
        let open = self.open_clients();
        if open.is_empty() { None } else { Some(open[self.below(open.len())]) }
    }

    fn speak(&mut self, verb: &str) {
        let Some(client) = self.any_open() else { return self.connect() };
        let about = match verb {
            "whisper" => self.name(),
            "gossip" => self.pick(&["0", "1", "1", "13"]).into(),
            "alarm" => self.below(5_000).to_string(),
            _ => String::new(),
        };
        self.say(client, verb, &about);
        if self.happens(300) {
            self.say(client, "all", "");
        }
    }

    pub(crate) fn say(&mut self, client: ClientKey, verb: &str, about: &str) {
        self.commands += 1;
        let command = format!("{} {verb} {about}", self.commands);
        self.world.client_sends(client, Message::text(command));
    }

    fn leave(&mut self) {
        let Some(client) = self.any_open() else { return };
        match self.below(4) {
            0 => self.say(client, "close", ""),
            1 => self.world.client_vanishes(client, 30_000),
            2 => {
                self.world.client_closes(client, Close::new(CloseCode::NORMAL, ""));
                self.world.client_vanishes(client, 30_000);
            }
            _ => self.world.client_closes(client, Close::new(CloseCode::NORMAL, "")),
        }
    }

    fn stall(&mut self) {
        let Some(client) = self.any_open() else { return };
        let reads = self.world.sockets.borrow().client(client).reads;
        self.world.set_reads(client, !reads);
        if reads {
            (0..self.below(12)).for_each(|_| self.say(client, "big", ""));
        }
    }

    fn fail(&mut self) {
        match self.below(6) {
            0 => self.request("/panic"),
            1 => self.request("/fail"),
            2 => self.request(self.pick(&["/group&do=panic", "/group&do=fail"])),
            3 => self.speak("panic"),
            _ => self.speak("fail"),
        }
    }

    fn crash(&mut self) {
        let lives = self.world.lives();
        if self.world.nodes() > 1 && self.below(6) == 0 {
            let node = self.node();
            if (0..self.world.nodes()).any(|other| other != node && !self.world.is_down(other)) {
                self.world.crash_node(node);
                let lasts = self.world.random.borrow_mut().within(0..=5_000_000);
                self.world.later(lasts, |world| world.all_up());
            }
            return;
        }
        let groups = self.below(2) == 0;
        let objects: Vec<Object> = lives
            .iter()
            .map(|(object, _)| *object)
            .filter(|object| matches!(object, Object::Group(_)) == groups)
            .collect();
        if !objects.is_empty() {
            self.world.crash(objects[self.below(objects.len())]);
        }
    }

    fn cut(&mut self) {
        let mut network = self.world.network.borrow_mut();
        if !network.is_whole() {
            network.heal();
        } else if self.world.nodes() > 1 {
            drop(network);
            let nodes = (self.below(self.world.nodes()), self.below(self.world.nodes()));
            self.world.network.borrow_mut().cut(nodes);
            self.world.note(|| format!("nodes {nodes:?} are cut off from each other"));
        }
    }
}
