//! Transports messages and requests from one object to another.

use std::cell::RefCell;
use std::rc::Rc;

use dog::Error;
use dog_engine::address::Object;
use dog_engine::reply::Reply;

use super::bugs::Bug;
use super::clock::Micros;
use super::core::Core;
use super::life::{Life, Party, RunningLife};
use super::lives::Lives;
use super::network::{MessageKind, Route};
use super::reply::{OnLoss, ReplySender};
use super::traffic::{Counted, TrafficCounter};

/// How many of 1,000 messages of an isolated node wait in its connections. The others are lost.
const HELD: u32 = 500;

/// A message on its way.
struct Shipment {
    from: Rc<Life>,
    route: Route,
    kind: MessageKind,
    sent_at: Micros,
    arrive: Box<dyn FnOnce()>,
}

/// Whether a message to an object without a life begins one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithoutLife {
    Begin,
    Drop,
}

/// The messages between objects.
pub(super) struct Mail {
    core: Rc<Core>,
    lives: Rc<Lives>,
    traffic: TrafficCounter,
    /// Messages from isolated nodes. They may arrive when the nodes are connected again.
    held: RefCell<Vec<Shipment>>,
}

impl Mail {
    pub(super) fn new(core: &Rc<Core>, lives: &Rc<Lives>) -> Rc<Self> {
        let (core, lives) = (Rc::clone(core), Rc::clone(lives));
        Rc::new(Self { core, lives, traffic: TrafficCounter::default(), held: RefCell::default() })
    }

    pub(super) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    pub(super) fn lives(&self) -> &Rc<Lives> {
        &self.lives
    }

    pub(super) fn traffic(&self) -> &TrafficCounter {
        &self.traffic
    }

    /// Returns what a caller learns about the loss of a call. Across a cut it learns nothing before its deadline.
    pub(super) fn on_loss(&self, from: &Life, to: Object) -> OnLoss {
        let route = self.route(from, to);
        let network = self.core.network();
        if network.weather().tells && !network.severs(&route) { OnLoss::Fail } else { OnLoss::StaySilent }
    }

    pub(super) fn route(&self, from: &Life, to: Object) -> Route {
        // A node searches its own objects first. If it was struck off, the current lives may be on other nodes.
        let own = self.lives.on_node(to, from.node()).map(|running| running.life.node());
        let node = own.unwrap_or_else(|| self.lives.node_of(to));
        self.route_to(from, Party::Object(to), node)
    }

    fn route_to(&self, from: &Life, to: Party, node: usize) -> Route {
        let sender = self.core.nodes().life(from.node());
        Route { from: from.party(), to, nodes: (from.node(), node), sender }
    }

    /// Sends a message to an object. `arrive` is called with the receiving life, or dropped.
    pub(super) fn send(
        self: &Rc<Self>,
        from: &Rc<Life>,
        to: Object,
        (kind, without_life): (MessageKind, WithoutLife),
        label: impl FnOnce() -> String,
        arrive: impl FnOnce(RunningLife) + 'static,
    ) {
        let route = self.route(from, to);
        let this = Rc::clone(self);
        let arrive = move || {
            if let Some(running) = this.receiver(&route, to, without_life) {
                arrive(running);
            }
        };
        self.ship(from, route, kind, label, Box::new(arrive));
    }

    /// Returns the life that receives a message: the one on the node to which it was sent. Begins a life if the object
    /// has none.
    fn receiver(&self, route: &Route, to: Object, without_life: WithoutLife) -> Option<RunningLife> {
        let node = route.nodes.1;
        let found = self.lives.on_node(to, node);
        // An object that has moved to another node cannot be reached through its former node. A node that was struck
        // off reaches objects on other nodes only through its existing connections.
        let has_moved = found.is_none() && self.lives.current(to).is_some();
        if has_moved || (found.is_none() && route.nodes.0 == node && !self.core.nodes().is_member(node)) {
            return None;
        }
        if found.is_some() || without_life == WithoutLife::Drop {
            return found;
        }
        // A node that cannot reach the storage, or has no lease, cannot claim an object.
        let can_begin = !self.core.network().is_isolated(self.lives.node_of(to));
        can_begin.then(|| self.lives.get_or_begin(to))
    }

    fn ship(
        self: &Rc<Self>,
        from: &Rc<Life>,
        route: Route,
        kind: MessageKind,
        label: impl FnOnce() -> String,
        arrive: Box<dyn FnOnce()>,
    ) {
        let now = self.core.clock().micros();
        let shipment = Shipment { from: Rc::clone(from), route, kind, sent_at: now, arrive };
        let is_held =
            self.core.network().is_isolated(from.node()) && route.nodes.0 != route.nodes.1 && self.core.happens(HELD);
        let at = if is_held { None } else { self.core.network().arrival(&route, kind, now, &mut self.core.random()) };
        self.core.note(|| {
            let fate = match at {
                Some(at) => format!("in {} µs", at - now),
                None if is_held => "HELD".into(),
                None => "LOST".into(),
            };
            format!("{} → {}: {} ({fate})", route.from.short_name(), route.to.short_name(), label())
        });
        if is_held {
            self.held.borrow_mut().push(shipment);
        } else if let Some(at) = at {
            self.arrives_at(at, shipment);
        }
    }

    /// Delivers the messages that wait in the connections of a node that is connected again.
    pub(super) fn reconnect(self: &Rc<Self>, node: usize) {
        let held: Vec<Shipment> = {
            let mut held = self.held.borrow_mut();
            held.extract_if(.., |held| held.from.node() == node).collect()
        };
        for shipment in held {
            let now = self.core.clock().micros();
            let at = self.core.network().arrival(&shipment.route, shipment.kind, now, &mut self.core.random());
            if let Some(at) = at {
                self.arrives_at(at, shipment);
            }
        }
    }

    fn arrives_at(self: &Rc<Self>, at: Micros, shipment: Shipment) {
        let this = Rc::clone(self);
        self.core.clock().at(at, move || {
            let core = Rc::clone(&this.core);
            core.when_running(shipment.route.nodes.1, move || this.arrives(shipment));
        });
    }

    fn arrives(&self, shipment: Shipment) {
        if !shipment.from.has_sent(shipment.sent_at) {
            return;
        }
        if self.is_refused(&shipment.route) {
            self.core.network().count_loss();
            return;
        }
        (shipment.arrive)();
    }

    /// Whether a message that arrives now is lost. A cut also loses messages on their way. A crashed node receives
    /// nothing. A stopped node drops the messages between its own objects. Nodes accept nothing from a node that was
    /// struck off.
    fn is_refused(&self, route: &Route) -> bool {
        let (from, to) = route.nodes;
        let serves = self.core.nodes().serves(to);
        let life = self.core.nodes().life(to);
        if from == to {
            return self.core.network().severs(route) || !serves || life != route.sender;
        }
        let is_down = !serves && !self.begins_elsewhere(route);
        self.core.network().severs(route) || is_down || self.is_fenced(route)
    }

    fn is_fenced(&self, route: &Route) -> bool {
        self.comes_from_struck_off(route) && !self.core.has_bug(Bug::UnfencedMessage)
    }

    /// Whether the receiving node knows that the sender was struck off.
    pub(super) fn comes_from_struck_off(&self, route: &Route) -> bool {
        self.core.nodes().knows(route.nodes.1, route.sender, self.core.clock().micros())
    }

    /// Whether the receiver has no life and can begin one on another node.
    fn begins_elsewhere(&self, route: &Route) -> bool {
        matches!(route.to, Party::Object(object) if self.lives.current(object).is_none())
    }

    /// Sends the answer back to the caller, if the callee has not crashed by then.
    pub(super) fn reply<T: 'static>(
        self: &Rc<Self>,
        route: Route,
        callee: Rc<Life>,
        kind: MessageKind,
        to: ReplySender<T>,
    ) -> Reply<T> {
        let this = Rc::clone(self);
        Reply::new(move |answer: Result<T, Error>| {
            if !callee.is_alive() {
                return;
            }
            let back = this.route_to(&callee, route.from, route.nodes.0);
            let label = if answer.is_ok() { "answer" } else { "error" };
            this.ship(&callee, back, kind, || label.into(), Box::new(move || to.send(answer)));
        })
    }

    /// Sends back an answer from one object to another. These answers are counted.
    pub(super) fn answer<T: Counted + 'static>(
        self: &Rc<Self>,
        route: Route,
        callee: Rc<Life>,
        to: ReplySender<T>,
    ) -> Reply<T> {
        let (this, reply) = (Rc::clone(self), self.reply(route, callee, MessageKind::Call, to));
        Reply::new(move |answer: Result<T, Error>| {
            answer.iter().for_each(|answer| this.traffic.count(answer));
            reply.send(answer);
        })
    }

    /// Whether a repeatable message arrives twice.
    pub(super) fn comes_twice(&self) -> bool {
        self.copies() > 1
    }

    pub(super) fn copies(&self) -> usize {
        self.core.network().copies(&mut self.core.random())
    }

    /// Drops all messages on their way.
    pub(super) fn clear(&self) {
        drop(self.held.take());
    }
}
