//! The actions of a run: clients come, send and leave, and faults happen.

use dog::{Close, CloseCode};
use dog_engine::address::Object;
use dog_testing::world::{ClientKey, Driver, Micros};

use crate::group_verbs;
use crate::late_identity::ANONYMOUS;
use crate::presence::{self, place::Place};
use crate::publications;
use crate::publications::logs_of_run::PUBLISHED;
use crate::run::Run;
use crate::settle::Settlement;
use crate::topics;

/// The commands of clients. A command that is listed twice is sent twice as often.
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
    "task",
    "call",
    "call",
    "attach",
    "attach",
    "close-to-newcomers",
    "open-to-newcomers",
];

/// The requests of clients that open no socket.
const REQUESTS: &[&str] =
    &["/slow", "/count", "/broadcast", "/stream", "/drop", "/group", "/group?do=task", "/call", "/call"];

/// The actions of a run.
pub(crate) struct Workload<'run> {
    run: &'run mut Run,
}

impl<'run> Workload<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// Performs the whole run, or the part until a promise is broken.
    pub(crate) fn work(&mut self) {
        for _ in 0..self.run.plan().rounds {
            for _ in 0..self.run.plan().actions {
                self.act();
                let pause = self.pause();
                if !self.run.pass(pause) {
                    return;
                }
            }
            if !Settlement::new(self.run).settle() {
                return;
            }
        }
    }

    fn below(&self, end: usize) -> usize {
        self.run.world().random().below(end)
    }

    fn happens(&self, per_mille: u32) -> bool {
        self.run.world().random().happens(per_mille)
    }

    fn pick<'a>(&self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// Returns the pause before the next action. It is mostly so short that actions overlap, and sometimes so long that
    /// tickets and leases expire.
    fn pause(&self) -> Micros {
        let mut random = self.run.world().random();
        match random.below(20) {
            0 => random.within(1_000_000..=12_000_000),
            1..=5 => random.within(50_000..=400_000),
            6..=12 => random.within(500..=20_000),
            _ => 0,
        }
    }

    fn act(&mut self) {
        let plan = self.run.plan().clone();
        if self.happens(plan.crashes) {
            return self.crash();
        }
        if self.happens(plan.cuts) {
            return self.cut();
        }
        if self.happens(plan.outages) {
            return self.begin_outage();
        }
        if self.happens(plan.faults) {
            return self.fail();
        }
        if plan.publications > 0 && self.happens(plan.publications) {
            return self.publish();
        }
        if plan.presence > 0 && self.happens(plan.presence) {
            return self.attend();
        }
        match self.below(20) {
            0..=6 => self.connect(),
            7 => {
                let requests = if self.happens(400) { group_verbs::REQUESTS } else { REQUESTS };
                self.request(self.pick(requests));
            }
            8 => self.leave(),
            9 => self.stall(),
            10..=12 => self.speak(self.pick(topics::VERBS)),
            13 => self.assign(),
            _ => self.speak(self.pick(VERBS)),
        }
    }

    fn client_name(&self) -> String {
        format!("c{}", self.below(self.run.plan().clients))
    }

    fn group(&self) -> String {
        format!("g{}", self.below(self.run.plan().groups))
    }

    fn path(&self, path: &str) -> String {
        self.path_of(&self.group(), path)
    }

    fn path_of(&self, group: &str, path: &str) -> String {
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{path}{mark}u={}&g={group}", self.client_name())
    }

    fn connect(&mut self) {
        let (group, is_stream) = (self.group(), self.happens(200));
        let path = if is_stream { "/events" } else { self.pick(&["/ws", "/ws", "/ws", "/ws", "/late", "/held"]) };
        let mut path = self.path_of(&group, path);
        if self.happens(200) {
            path += self.pick(ANONYMOUS);
        }
        let node = self.run.any_node();
        let client = if is_stream { self.run.open_stream(node, &group, &path) } else { self.run.connect(node, &path) };
        if self.happens(80) {
            // The client does not wait for the answer.
            let delay = self.run.world().random().within(0..=100_000);
            self.run.world().later(delay, move |world| world.client_vanishes(client, 0));
        }
    }

    fn request(&mut self, path: &str) {
        let path = self.path(path);
        self.run.request(self.run.any_node(), &path);
    }

    fn any_open(&self) -> Option<ClientKey> {
        let open = self.run.open_clients();
        if open.is_empty() { None } else { Some(open[self.below(open.len())]) }
    }

    fn speak(&mut self, verb: &str) {
        let Some(client) = self.any_open() else { return self.connect() };
        let about = match verb {
            "whisper" => self.client_name(),
            "gossip" => self.pick(&["0", "1", "1", "13"]).into(),
            "alarm" => self.below(5_000).to_string(),
            verb if topics::VERBS.contains(&verb) => self.pick(topics::TOPICS).into(),
            _ => String::new(),
        };
        self.run.command(client, verb, &about);
        if self.happens(300) {
            self.run.command(client, "all", "");
        }
    }

    /// Publishes, reads the history, or subscribes to what is published.
    fn publish(&mut self) {
        let topic = self.pick(PUBLISHED).to_owned();
        if self.run.plan().begins_again && self.happens(80) {
            return self.begin_again(&topic);
        }
        match self.below(10) {
            0..=2 => {
                let request = self.pick(publications::REQUESTS);
                self.request(&format!("{request}&topic={topic}"));
            }
            3 => self.speak("subscribe"),
            // What happens to the memory of Groups and Replicas between two publications changes nothing.
            4 => self.evict(),
            5 if self.happens(300) => self.crash_one(true),
            6 => match self.any_open() {
                Some(client) => self.run.command(client, topics::RESUME, &topic),
                None => self.connect(),
            },
            _ => match self.any_open() {
                Some(client) => {
                    let verb = self.pick(publications::VERBS);
                    self.run.command(client, verb, &topic);
                }
                None => self.connect(),
            },
        }
    }

    /// A log is reset or purged, by the App, its Group or a Replica.
    fn begin_again(&mut self, topic: &str) {
        let verb = self.pick(publications::resets::VERBS);
        match (self.below(3), self.any_open()) {
            (0, Some(client)) => self.run.command(client, verb, topic),
            (1, _) => self.request(&format!("/group?do={verb}&topic={topic}")),
            _ => self.request(&format!("/publish?do={verb}&topic={topic}")),
        }
    }

    /// Shows a value, reads who is there, and lets clients and objects come and go.
    fn attend(&mut self) {
        match self.below(10) {
            0..=2 => self.speak(self.pick(presence::VERBS)),
            3 => {
                let topic = Place::ALL[self.below(Place::ALL.len())].topic().unwrap_or_default();
                self.request(&format!("/presence?topic={topic}"));
            }
            4 => self.request(&format!("/verb?do=disconnect&to={}", self.client_name())),
            5 => {
                // A page is loaded again.
                self.leave();
                self.connect();
            }
            6 => self.crash_one(true),
            7 => self.evict(),
            _ => self.speak(self.pick(&["subscribe", "subscribe", "unsubscribe"])),
        }
    }

    /// An object leaves memory, if it is idle.
    fn evict(&self) {
        let lives = self.run.world().lives();
        if lives.is_empty() {
            return;
        }
        match &lives[self.below(lives.len())].1.driver {
            Driver::Group(group) => group.hibernate_now(),
            Driver::Replica(replica) => replica.hibernate_now(),
        };
    }

    /// Names the client of a socket: mostly of one that was opened for an anonymous client.
    fn assign(&mut self) {
        let mut open = self.run.open_clients();
        if self.happens(800) {
            open.retain(|client| self.run.world().identified(*client).is_some_and(|id| id.is_anonymous()));
        }
        if !open.is_empty() {
            let (client, name) = (open[self.below(open.len())], self.client_name());
            self.run.command(client, "assign", &name);
        }
    }

    fn leave(&mut self) {
        let Some(client) = self.any_open() else { return };
        if self.run.streams().has(client) {
            return self.run.streams().vanish(client);
        }
        let close = || Close::new(CloseCode::NORMAL, "");
        match self.below(4) {
            0 => self.run.command(client, "close", ""),
            1 => self.run.world().client_vanishes(client, 30_000),
            2 => {
                self.run.world().client_closes(client, close());
                self.run.world().client_vanishes(client, 30_000);
            }
            _ => self.run.world().client_closes(client, close()),
        }
    }

    fn stall(&mut self) {
        let Some(client) = self.any_open() else { return };
        let is_stream = self.run.streams().has(client);
        let reads = if is_stream { self.run.streams().reads(client) } else { self.run.world().reads(client).0 };
        if is_stream {
            self.run.streams().set_reads(client, !reads);
        } else {
            self.run.world().set_reads(client, !reads);
        }
        if reads {
            (0..self.below(12)).for_each(|_| self.run.command(client, "big", ""));
        }
    }

    fn fail(&mut self) {
        match self.below(6) {
            0 => self.request("/panic"),
            1 => self.request("/fail"),
            2 => self.request(self.pick(&["/group?do=panic", "/group?do=fail"])),
            3 => self.speak("panic"),
            _ => self.speak("fail"),
        }
    }

    fn crash(&mut self) {
        if self.run.world().nodes() > 1 && self.below(6) == 0 {
            return self.crash_node();
        }
        let groups = self.below(2) == 0;
        self.crash_one(groups);
    }

    /// Crashes a life of a Group, or of a Replica.
    fn crash_one(&mut self, groups: bool) {
        let lives = self.run.world().lives();
        let objects = lives.iter().map(|(object, _)| *object);
        let objects: Vec<Object> = objects.filter(|object| matches!(object, Object::Group(_)) == groups).collect();
        if !objects.is_empty() {
            self.run.world().crash(objects[self.below(objects.len())]);
        }
    }

    /// Returns a node that can fail now: it is healthy, and another healthy one would be left.
    fn node_to_lose(&self) -> Option<usize> {
        let healthy = self.run.world().healthy_nodes();
        if healthy.len() > 1 { Some(healthy[self.below(healthy.len())]) } else { None }
    }

    fn crash_node(&mut self) {
        let Some(node) = self.node_to_lose() else { return };
        self.run.world().crash_node(node);
        let lasts = self.run.world().random().within(0..=5_000_000);
        self.run.world().later(lasts, move |world| {
            world.restart_node(node);
        });
    }

    /// Pauses a node, or isolates it from the other nodes and the storage.
    fn begin_outage(&mut self) {
        let Some(node) = self.node_to_lose() else { return };
        let lasts = self.run.world().random().within(500_000..=12_000_000);
        if self.below(2) == 0 {
            self.run.world().pause_node(node, lasts);
        } else {
            self.run.world().isolate_node(node, lasts);
        }
    }

    fn cut(&mut self) {
        let nodes = self.run.world().nodes();
        if self.run.world().is_cut() {
            self.run.world().heal_cuts();
        } else if nodes > 1 {
            let nodes = (self.below(nodes), self.below(nodes));
            self.run.world().cut(nodes);
            self.run.world().note(|| format!("nodes {nodes:?} are cut off from each other"));
        }
    }
}
