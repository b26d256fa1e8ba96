//! What objects say to each other, and how it travels.

use std::rc::Rc;

use dog::{Body, Error, Request, Response};
use dog_engine::address::{GroupAddress, Object, ReplicaAddress, Targets, Ticket};
use dog_engine::host::Fetched;
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::reply::Reply;

use super::World;
use super::bugs::Bug;
use super::network::{Party, Sort, Way};
use super::objects::name;
use super::place::Place;
use super::promise::Promise;
use super::traffic::Said;

/// A Meet of the bug "unawaited join" arrives this much after it was answered.
const UNAWAITED: u64 = 400_000;

impl World {
    /// Whether it is told that a call was lost: never across a cut, where only the deadline tells.
    pub(super) fn tells(&self, from: &Place, to: Object) -> bool {
        let network = self.network.borrow();
        network.weather.tells && !network.severs(self.way(from, to))
    }

    fn way(&self, from: &Place, to: Object) -> Way {
        Way { from: from.party, to: Party::Object(to), nodes: (from.node, self.node_of(to)) }
    }

    /// Sends something on its way: `arrive` is done at its end, or dropped.
    fn carry(
        &self,
        from: &Place,
        way: Way,
        sort: Sort,
        what: impl FnOnce() -> String,
        arrive: impl FnOnce(&Rc<World>) + 'static,
    ) {
        let now = self.agenda.micros();
        let at = self.network.borrow_mut().arrival(way, sort, now, &mut self.random.borrow_mut());
        self.note(|| {
            let fate = at.map_or_else(|| "LOST".into(), |at| format!("in {} µs", at - now));
            format!("{} → {}: {} ({fate})", name(way.from), name(way.to), what())
        });
        let Some(at) = at else { return };
        let last_word = from.last_word();
        self.at(at, move |world| {
            if now > last_word.get() {
                return;
            }
            // A cut takes along what is under way, and nothing can be said to a node that is down.
            if world.network.borrow().severs(way) || world.is_down(way.nodes.1) && !world.moves(way) {
                world.network.borrow_mut().harmed += 1;
                return;
            }
            arrive(world);
        });
    }

    /// Whether the object at the end of the way can begin on another node.
    fn moves(&self, way: Way) -> bool {
        match way.to {
            Party::Object(object) => self.living(object).is_none(),
            Party::App(_) => false,
        }
    }

    /// Owes the answer to whoever asked.
    fn reply<T: 'static>(self: &Rc<Self>, way: Way, callee: Rc<Place>, sort: Sort, promise: Promise<T>) -> Reply<T> {
        let world = Rc::clone(self);
        Reply::new(move |answer: Result<T, Error>| {
            if !callee.is_alive() {
                return;
            }
            let back = Way { from: way.to, to: way.from, nodes: (callee.node, way.nodes.0) };
            let what = || if answer.is_ok() { "answer".into() } else { "error".into() };
            let failed = what();
            world.carry(&callee, back, sort, || failed, move |_| promise.keep(answer));
        })
    }

    /// The same for what objects answer each other, which is counted.
    fn answer<T: Said + 'static>(self: &Rc<Self>, way: Way, callee: Rc<Place>, promise: Promise<T>) -> Reply<T> {
        let (world, reply) = (Rc::clone(self), self.reply(way, callee, Sort::Call, promise));
        Reply::new(move |answer: Result<T, Error>| {
            answer.iter().for_each(|answer| world.said(answer));
            reply.send(answer);
        })
    }

    pub(super) fn call_group(&self, from: &Place, to: GroupAddress, call: GroupCall, promise: Promise<GroupAnswer>) {
        if !from.is_alive() {
            return;
        }
        let way = self.way(from, Object::Group(to));
        self.said(&call);
        let what = format_call(&call);
        let again = self.comes_twice().then(|| call.clone());
        self.carry(
            from,
            way,
            Sort::Call,
            || what,
            move |world| {
                let (group, place) = world.group(to);
                group.call(call, world.answer(way, place, promise));
            },
        );
        if let Some(call) = again {
            let what = || format!("{}, again", format_call(&call));
            let call = call.clone();
            self.carry(from, way, Sort::Call, what, move |world| world.group(to).0.call(call, Reply::new(drop)));
        }
    }

    /// What does no harm when it is done twice may be.
    fn comes_twice(&self) -> bool {
        self.network.borrow().copies(&mut self.random.borrow_mut()) > 1
    }

    pub(super) fn cast_group(&self, from: &Place, to: GroupAddress, cast: &GroupCast) {
        if !from.is_alive() {
            return;
        }
        let way = self.way(from, Object::Group(to));
        let copies = self.network.borrow().copies(&mut self.random.borrow_mut());
        self.said(cast);
        for _ in 0..copies {
            let cast = cast.clone();
            let what = format_cast(&cast);
            self.carry(from, way, Sort::Tolerant, || what, move |world| world.group(to).0.cast(cast));
        }
    }

    pub(super) fn call_replica(
        &self,
        from: &Place,
        to: ReplicaAddress,
        call: ReplicaCall,
        promise: Promise<ReplicaAnswer>,
    ) {
        if !from.is_alive() {
            return;
        }
        let way = self.way(from, Object::Replica(to));
        if self.bug == Some(Bug::UnawaitedJoin) && matches!(call, ReplicaCall::Meet(_)) {
            // Answered before it is heard: nobody waits until the siblings know.
            self.later(0, move |_| promise.keep(Ok(ReplicaAnswer::Known(dog::Epoch::default()))));
            return self.later(UNAWAITED, move |world| {
                let (replica, _) = world.replica(to);
                replica.call(call, Reply::new(drop));
            });
        }
        if let ReplicaCall::Deliver(delivery) = &call {
            self.observe(|observer| observer.asks(to.replica, &delivery.message));
        }
        self.said(&call);
        let what = format_replica_call(&call);
        // Messages come at most once, and what siblings ask each other is the user's.
        let tolerant = matches!(call, ReplicaCall::Join(_) | ReplicaCall::Meet(_) | ReplicaCall::Census(_));
        let again = (tolerant && self.comes_twice()).then(|| (call.clone(), format!("{what}, again")));
        self.carry(
            from,
            way,
            Sort::Call,
            || what,
            move |world| {
                let (replica, place) = world.replica(to);
                replica.call(call, world.answer(way, place, promise));
            },
        );
        if let Some((call, what)) = again {
            self.carry(from, way, Sort::Call, || what, move |world| world.replica(to).0.call(call, Reply::new(drop)));
        }
    }

    pub(super) fn cast_replicas(&self, from: &Place, to: &Targets, cast: &ReplicaCast) {
        if !from.is_alive() {
            return;
        }
        let sort = match cast {
            ReplicaCast::Deliver(delivery) => {
                self.observe(|observer| observer.addresses(to, &delivery.message));
                Sort::Delivery
            }
            ReplicaCast::Acknowledge { .. } => Sort::Tolerant,
        };
        if self.bug == Some(Bug::AllOrNothing) && to.iter().any(|replica| self.is_missing(to.address(replica))) {
            return;
        }
        for replica in to.iter() {
            self.said(cast);
            let copies = match sort {
                Sort::Tolerant => self.network.borrow().copies(&mut self.random.borrow_mut()),
                _ => 1,
            };
            for _ in 0..copies {
                self.cast_replica(from, to.address(replica), cast.clone(), sort);
            }
        }
    }

    fn is_missing(&self, replica: ReplicaAddress) -> bool {
        self.living(Object::Replica(replica)).is_none()
    }

    fn cast_replica(&self, from: &Place, to: ReplicaAddress, cast: ReplicaCast, sort: Sort) {
        let way = self.way(from, Object::Replica(to));
        let what = || match sort {
            Sort::Delivery => "Deliver".into(),
            _ => "Acknowledge".into(),
        };
        self.carry(from, way, sort, what, move |world| {
            // Without a life there are no sockets, and no need to begin one.
            if let Some(replica) = world.living_replica(to, None) {
                replica.cast(cast);
            }
        });
    }

    pub(super) fn fetch_group(&self, from: &Place, to: GroupAddress, request: Request, promise: Promise<Response>) {
        let way = self.way(from, Object::Group(to));
        self.carry(
            from,
            way,
            Sort::Fetch,
            || "request".into(),
            move |world| {
                let (group, place) = world.group(to);
                group.fetch(request, world.reply(way, place, Sort::Fetch, promise));
            },
        );
    }

    pub(super) fn fetch_replica(
        &self,
        from: &Place,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
        promise: Promise<Fetched>,
    ) {
        let way = self.way(from, Object::Replica(to));
        let what = format!("request of {} with {}", ticket.client, format_ticket(&ticket));
        self.carry(
            from,
            way,
            Sort::Fetch,
            || what,
            move |world| {
                let (replica, place) = world.replica(to);
                let again = world.comes_twice().then(|| (ticket.clone(), same(&request)));
                let reply = world.reply(way, Rc::clone(&place), Sort::Fetch, promise);
                Rc::clone(&replica).fetch(ticket.clone(), request, world.admission(&place, &ticket, reply));
                if let Some((ticket, request)) = again {
                    let reply = world.admission(&place, &ticket, Reply::new(drop));
                    replica.fetch(ticket, request, reply);
                }
            },
        );
    }

    /// Whoever watches hears of it when the Replica takes the ticket.
    fn admission(self: &Rc<Self>, place: &Rc<Place>, ticket: &Ticket, reply: Reply<Fetched>) -> Reply<Fetched> {
        let (world, place, id) = (Rc::clone(self), Rc::clone(place), ticket.id);
        let expired = ticket.expires <= self.agenda.now();
        Reply::new(move |answer: Result<Fetched, Error>| {
            if matches!(answer, Ok(Fetched::Response(_))) {
                world.observe(|observer| observer.lets_in(&place, id, expired));
            }
            reply.send(answer);
        })
    }
}

/// The same request once more.
fn same(request: &Request) -> Request {
    let mut copy = Request::new(Body::empty());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}

fn format_ticket(ticket: &Ticket) -> String {
    format!("ticket {}.{}", ticket.id.epoch.as_u64(), ticket.id.number)
}

fn format_call(call: &GroupCall) -> String {
    match call {
        GroupCall::Identify { client, .. } => format!("Identify {client}"),
        GroupCall::Locate { client } => format!("Locate {client}"),
        GroupCall::Parked => "Parked".into(),
        GroupCall::Enroll(census) => format!("Enroll in life {}", census.epoch.as_u64()),
    }
}

fn format_cast(cast: &GroupCast) -> String {
    match cast {
        GroupCast::Report(report) => {
            format!("Report {} of life {}: {} seats", report.sequence, report.epoch.as_u64(), report.occupied)
        }
        GroupCast::Release(ticket) => format!("Release {}", format_ticket(ticket)),
        GroupCast::Farewell { epoch, .. } => format!("Farewell of life {}", epoch.as_u64()),
    }
}

fn format_replica_call(call: &ReplicaCall) -> String {
    match call {
        ReplicaCall::Join(enrolment) => format!("Join, {} members", enrolment.view.members.len()),
        ReplicaCall::Meet(view) => format!("Meet, {} members", view.members.len()),
        ReplicaCall::Census(enrolment) => format!("Census, {} members", enrolment.view.members.len()),
        ReplicaCall::Deliver(_) => "Deliver, confirmed".into(),
        ReplicaCall::Whisper { client, .. } => format!("Whisper to {client}"),
        ReplicaCall::Gossip(_) => "Gossip".into(),
    }
}
