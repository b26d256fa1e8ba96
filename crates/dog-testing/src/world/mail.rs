//! Messages and requests between objects, from sender to receiver.

use std::cell::RefCell;
use std::rc::Rc;

use dog::{Body, Epoch, Error, Request, Response};
use dog_engine::address::{GroupAddress, Object, ReplicaAddress, Targets, Ticket};
use dog_engine::host::Fetched;
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::reply::Reply;

use super::bugs::Bug;
use super::clock::Micros;
use super::core::Core;
use super::labels;
use super::life::{Life, Party, RunningLife};
use super::lives::Lives;
use super::network::{MessageKind, Route};
use super::observer::Admission;
use super::reply::{OnLoss, ReplySender};
use super::traffic::{Counted, TrafficCounter};

/// With the bug "unawaited join", a Meet arrives this much later than it is answered.
const UNAWAITED: Micros = 400_000;

/// How many of a thousand messages of an isolated node wait in its connections instead of being lost.
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
enum WithoutLife {
    Begin,
    Drop,
}

/// The messages between objects.
pub(super) struct Mail {
    core: Rc<Core>,
    lives: Rc<Lives>,
    traffic: TrafficCounter,
    /// What isolated nodes have sent: it arrives when they are connected again, if at all.
    held: RefCell<Vec<Shipment>>,
}

impl Mail {
    pub(super) fn new(core: &Rc<Core>, lives: &Rc<Lives>) -> Rc<Self> {
        let (core, lives) = (Rc::clone(core), Rc::clone(lives));
        Rc::new(Self { core, lives, traffic: TrafficCounter::default(), held: RefCell::default() })
    }

    pub(super) fn traffic(&self) -> &TrafficCounter {
        &self.traffic
    }

    /// What a caller learns of the loss of a call: nothing across a cut, where only the deadline tells.
    pub(super) fn on_loss(&self, from: &Life, to: Object) -> OnLoss {
        let route = self.route(from, to);
        let network = self.core.network();
        if network.weather().tells && !network.severs(&route) { OnLoss::Fail } else { OnLoss::StaySilent }
    }

    fn route(&self, from: &Life, to: Object) -> Route {
        // A node looks among its own objects first. If it was struck off, their current lives may be elsewhere.
        let own = self.lives.on_node(to, from.node()).map(|running| running.life.node());
        let node = own.unwrap_or_else(|| self.lives.node_of(to));
        self.route_to(from, Party::Object(to), node)
    }

    fn route_to(&self, from: &Life, to: Party, node: usize) -> Route {
        let sender = self.core.nodes().life(from.node());
        Route { from: from.party(), to, nodes: (from.node(), node), sender }
    }

    /// Sends something to an object. `arrive` is called with its life at the other end, or dropped.
    fn send(
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

    /// The life that receives a message: the one on the node to which it was sent. If the object has no life, one begins.
    fn receiver(&self, route: &Route, to: Object, without_life: WithoutLife) -> Option<RunningLife> {
        let node = route.nodes.1;
        let found = self.lives.on_node(to, node);
        // An object that has moved to another node is not reached through its former one. And a node that was struck off has
        // no way to objects elsewhere but its connections.
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

    /// The node is connected again: what waits in its connections arrives now.
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

    /// Whether a message that arrives now is lost: a cut also loses what is on its way, a node that is down receives
    /// nothing, a node that stops forgets what its objects send to each other, and nodes accept nothing from a node that was
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
    fn comes_from_struck_off(&self, route: &Route) -> bool {
        self.core.nodes().knows(route.nodes.1, route.sender, self.core.clock().micros())
    }

    /// Whether the receiver has no life, and so can begin one on another node.
    fn begins_elsewhere(&self, route: &Route) -> bool {
        matches!(route.to, Party::Object(object) if self.lives.current(object).is_none())
    }

    /// Sends the answer back to the caller, if the callee has not crashed by then.
    fn reply<T: 'static>(
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

    /// The same for answers of objects to each other, which are counted.
    fn answer<T: Counted + 'static>(self: &Rc<Self>, route: Route, callee: Rc<Life>, to: ReplySender<T>) -> Reply<T> {
        let (this, reply) = (Rc::clone(self), self.reply(route, callee, MessageKind::Call, to));
        Reply::new(move |answer: Result<T, Error>| {
            answer.iter().for_each(|answer| this.traffic.count(answer));
            reply.send(answer);
        })
    }

    /// Whether a message that does no harm when it comes twice does.
    fn comes_twice(&self) -> bool {
        self.copies() > 1
    }

    fn copies(&self) -> usize {
        self.core.network().copies(&mut self.core.random())
    }

    pub(super) fn call_group(
        self: &Rc<Self>,
        from: &Rc<Life>,
        to: GroupAddress,
        call: GroupCall,
        reply: ReplySender<GroupAnswer>,
    ) {
        if !from.is_alive() {
            return;
        }
        let object = Object::Group(to);
        let route = self.route(from, object);
        self.traffic.count(&call);
        let label = labels::group_call(&call);
        let again = self.comes_twice().then(|| call.clone());
        let this = Rc::clone(self);
        self.send(
            from,
            object,
            (MessageKind::Call, WithoutLife::Begin),
            || label,
            move |running| {
                let answer = this.answer(route, Rc::clone(&running.life), reply);
                running.group().call(call, answer);
            },
        );
        if let Some(call) = again {
            let label = format!("{}, again", labels::group_call(&call));
            self.send(
                from,
                object,
                (MessageKind::Call, WithoutLife::Begin),
                || label,
                move |running| {
                    running.group().call(call, Reply::new(drop));
                },
            );
        }
    }

    pub(super) fn cast_group(self: &Rc<Self>, from: &Rc<Life>, to: GroupAddress, cast: &GroupCast) {
        if !from.is_alive() {
            return;
        }
        self.traffic.count(cast);
        for _ in 0..self.copies() {
            let (this, cast) = (Rc::clone(self), cast.clone());
            let label = labels::group_cast(&cast);
            let how = (MessageKind::Repeatable, WithoutLife::Begin);
            self.send(
                from,
                Object::Group(to),
                how,
                || label,
                move |running| {
                    running.group().cast(this.with_bugs(to, cast));
                },
            );
        }
    }

    /// With the bug "unfenced report", a report claims to be one of the Replica's current life.
    fn with_bugs(&self, group: GroupAddress, mut cast: GroupCast) -> GroupCast {
        if let GroupCast::Report(report) = &mut cast
            && self.core.has_bug(Bug::UnfencedReport)
        {
            let replica = Object::Replica(ReplicaAddress { group, replica: report.replica });
            let current = self.lives.current(replica).map_or(Epoch::default(), |running| running.life.epoch());
            report.epoch = report.epoch.max(current);
        }
        cast
    }

    pub(super) fn call_replica(
        self: &Rc<Self>,
        from: &Rc<Life>,
        to: ReplicaAddress,
        call: ReplicaCall,
        reply: ReplySender<ReplicaAnswer>,
    ) {
        if !from.is_alive() {
            return;
        }
        let object = Object::Replica(to);
        if self.core.has_bug(Bug::UnawaitedJoin) && matches!(call, ReplicaCall::Meet(_)) {
            return self.do_not_await(object, call, reply);
        }
        if let ReplicaCall::Deliver(delivery) = &call {
            self.core.observe(|observer| observer.asks(to.replica, &delivery.message));
        }
        self.traffic.count(&call);
        let label = labels::replica_call(&call);
        // Messages come at most once, and gossip is the user's.
        let is_repeatable = matches!(call, ReplicaCall::Join(_) | ReplicaCall::Meet(_) | ReplicaCall::Census(_));
        let again = (is_repeatable && self.comes_twice()).then(|| (call.clone(), format!("{label}, again")));
        let (this, route) = (Rc::clone(self), self.route(from, object));
        self.send(
            from,
            object,
            (MessageKind::Call, WithoutLife::Begin),
            || label,
            move |running| {
                let answer = this.answer(route, Rc::clone(&running.life), reply);
                running.replica().call(this.with_bugged_view(to.group, call), answer);
            },
        );
        if let Some((call, label)) = again {
            self.send(
                from,
                object,
                (MessageKind::Call, WithoutLife::Begin),
                || label,
                move |running| {
                    running.replica().call(call, Reply::new(drop));
                },
            );
        }
    }

    /// With the bug "unfenced view", the view of an earlier life of the Group claims to be the newest.
    fn with_bugged_view(&self, group: GroupAddress, mut call: ReplicaCall) -> ReplicaCall {
        if !self.core.has_bug(Bug::UnfencedView) {
            return call;
        }
        let current = self.lives.current(Object::Group(group)).map_or(Epoch::default(), |running| running.life.epoch());
        let view = match &mut call {
            ReplicaCall::Join(enrolment) | ReplicaCall::Census(enrolment) => &mut enrolment.view,
            ReplicaCall::Meet(view) => view,
            _ => return call,
        };
        if view.version.epoch < current {
            view.version.epoch = current;
            view.version.change += 1_000;
        }
        call
    }

    /// With the bug "unawaited join", a Meet is answered before it arrives: nobody waits until the siblings know.
    fn do_not_await(self: &Rc<Self>, to: Object, call: ReplicaCall, reply: ReplySender<ReplicaAnswer>) {
        self.core.clock().later(0, move || reply.send(Ok(ReplicaAnswer::Known(Epoch::default()))));
        let lives = Rc::clone(&self.lives);
        self.core.clock().later(UNAWAITED, move || lives.get_or_begin(to).replica().call(call, Reply::new(drop)));
    }

    pub(super) fn cast_replicas(self: &Rc<Self>, from: &Rc<Life>, to: &Targets, cast: &ReplicaCast) {
        if !from.is_alive() {
            return;
        }
        let (kind, label) = match cast {
            ReplicaCast::Deliver(delivery) => {
                self.core.observe(|observer| observer.addresses(to, &delivery.message));
                (MessageKind::Delivery, "Deliver")
            }
            ReplicaCast::Acknowledge { .. } => (MessageKind::Repeatable, "Acknowledge"),
        };
        let is_missing = |replica| self.lives.current(Object::Replica(to.address(replica))).is_none();
        if self.core.has_bug(Bug::AllOrNothing) && to.iter().any(is_missing) {
            return;
        }
        for replica in to.iter() {
            self.traffic.count(cast);
            let copies = if kind == MessageKind::Repeatable { self.copies() } else { 1 };
            for _ in 0..copies {
                let cast = cast.clone();
                // Without a life there are no sockets, so none has to begin.
                let (object, how) = (Object::Replica(to.address(replica)), (kind, WithoutLife::Drop));
                self.send(from, object, how, || label.into(), move |running| running.replica().cast(cast));
            }
        }
    }

    pub(super) fn fetch_group(
        self: &Rc<Self>,
        from: &Rc<Life>,
        to: GroupAddress,
        request: Request,
        reply: ReplySender<Response>,
    ) {
        let (this, route) = (Rc::clone(self), self.route(from, Object::Group(to)));
        let how = (MessageKind::Fetch, WithoutLife::Begin);
        self.send(
            from,
            Object::Group(to),
            how,
            || "request".into(),
            move |running| {
                let reply = this.reply(route, Rc::clone(&running.life), MessageKind::Fetch, reply);
                running.group().fetch(request, reply);
            },
        );
    }

    pub(super) fn fetch_replica(
        self: &Rc<Self>,
        from: &Rc<Life>,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
        reply: ReplySender<Fetched>,
    ) {
        let (this, route) = (Rc::clone(self), self.route(from, Object::Replica(to)));
        let label = format!("request of {} with {}", ticket.client, labels::ticket(&ticket));
        let how = (MessageKind::Fetch, WithoutLife::Begin);
        self.send(
            from,
            Object::Replica(to),
            how,
            || label,
            move |running| {
                let life = Rc::clone(&running.life);
                let replica = running.replica();
                let again = this.comes_twice().then(|| (ticket.clone(), copy_of(&request)));
                let reply = this.reply(route, Rc::clone(&life), MessageKind::Fetch, reply);
                Rc::clone(&replica).fetch(ticket.clone(), request, this.admission(&route, &life, &ticket, reply));
                if let Some((ticket, request)) = again {
                    let reply = this.admission(&route, &life, &ticket, Reply::new(drop));
                    replica.fetch(ticket, request, reply);
                }
            },
        );
    }

    /// Tells the observer when the Replica accepts the ticket.
    fn admission(
        self: &Rc<Self>,
        route: &Route,
        life: &Rc<Life>,
        ticket: &Ticket,
        reply: Reply<Fetched>,
    ) -> Reply<Fetched> {
        let admission = Admission {
            ticket: ticket.id,
            has_expired: ticket.expires <= self.core.clock().now(),
            comes_from_struck_off: route.nodes.0 != route.nodes.1 && self.comes_from_struck_off(route),
        };
        let (this, life) = (Rc::clone(self), Rc::clone(life));
        Reply::new(move |answer: Result<Fetched, Error>| {
            if matches!(answer, Ok(Fetched::Response(_))) {
                this.core.observe(|observer| observer.lets_in(&life, &admission));
            }
            reply.send(answer);
        })
    }

    /// Drops everything that is on its way.
    pub(super) fn clear(&self) {
        drop(self.held.take());
    }
}

/// The same request once more.
fn copy_of(request: &Request) -> Request {
    let mut copy = Request::new(Body::empty());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}
