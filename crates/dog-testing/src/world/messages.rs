//! The calls, casts and requests between objects, and the bugs that can be planted in them.

use std::rc::Rc;

use dog::internal::{LogEpoch, LogTopic, LogVerb, LogVerbAnswer, Publication};
use dog::{Body, Epoch, Error, ReplicaId, Request, Response};
use dog_engine::address::{GroupAddress, Object, ReplicaAddress, Targets, Ticket};
use dog_engine::host::Fetched;
use dog_engine::message::{
    GroupAnswer, GroupCall, GroupCast, PresenceCall, PresenceReply, PublicationDelivery, ReplicaAnswer, ReplicaCall,
    ReplicaCast,
};
use dog_engine::presence::{Following, ReportVerdict};
use dog_engine::reply::Reply;
use dog_engine::wire::may_repeat_to_group;

use super::bugs::Bug;
use super::clock::Micros;
use super::labels;
use super::life::Life;
use super::mail::{Mail, WithoutLife};
use super::network::{MessageKind, Route};
use super::observer::{Admission, Observer};
use super::reply::ReplySender;

/// With the bug "unawaited join", an UpdateView arrives this much later than it is answered.
const UNAWAITED: Micros = 400_000;

/// A call whose answer the observer is told.
enum Watched {
    /// It may have publications of this topic.
    Topic(LogTopic),
    /// It may say that the connections of this life were counted.
    Census { replica: (ReplicaId, Epoch), following: Following },
}

impl Watched {
    fn of(call: &GroupCall) -> Option<Self> {
        match call {
            GroupCall::Missed(call) => Some(Self::Topic(call.topic.clone())),
            GroupCall::Tail(call) => Some(Self::Topic(call.topic.clone())),
            GroupCall::Log { verb: LogVerb::History { topic, .. }, .. } => Some(Self::Topic(topic.clone())),
            GroupCall::Presence(_, PresenceCall::Report(report)) if report.census => {
                Some(Self::Census { replica: (report.replica, report.epoch), following: report.following })
            }
            _ => None,
        }
    }

    fn is_answered(&self, observer: &dyn Observer, group: &Life, answer: &GroupAnswer) {
        match (self, answer) {
            (Self::Census { replica, following }, GroupAnswer::Presence(_, PresenceReply::Reported(answer)))
                if answer.verdict == ReportVerdict::Taken =>
            {
                observer.counts(group, *replica, *following);
            }
            (Self::Topic(topic), answer) => {
                shown_by(answer).into_iter().for_each(|shown| observer.shows(group, topic, shown));
            }
            _ => {}
        }
    }
}

/// The publications in an answer.
fn shown_by(answer: &GroupAnswer) -> Option<(&LogEpoch, &[Publication])> {
    match answer {
        GroupAnswer::Missed(answer) => {
            let page = answer.missed.page.as_ref().ok()?;
            Some((answer.missed.head.position.epoch(), &page.publications))
        }
        GroupAnswer::Tail(answer) => Some((answer.tail.head.position.epoch(), &answer.tail.publications)),
        GroupAnswer::Log(LogVerbAnswer::History(page)) => Some((page.head.epoch(), &page.publications)),
        _ => None,
    }
}

impl Mail {
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
        self.traffic().count(&call);
        let label = labels::group_call(&call);
        let watched = Watched::of(&call);
        let again = (may_repeat_to_group(&call) && self.comes_twice()).then(|| call.clone());
        let (this, of_copy) = (Rc::clone(self), Rc::clone(self));
        self.send(
            from,
            object,
            (MessageKind::Call, WithoutLife::Begin),
            || label,
            move |running| {
                let answer = this.answer(route, Rc::clone(&running.life), reply);
                let answer = this.watched(&running.life, watched, answer);
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
                    let answer = of_copy.watched(&running.life, None, Reply::new(drop));
                    running.group().call(call, answer);
                },
            );
        }
    }

    /// Tells the observer when the Group answers with a ticket, or answers this call.
    fn watched(
        self: &Rc<Self>,
        group: &Rc<Life>,
        watched: Option<Watched>,
        reply: Reply<GroupAnswer>,
    ) -> Reply<GroupAnswer> {
        let (this, group) = (Rc::clone(self), Rc::clone(group));
        Reply::new(move |answer| {
            if let Ok(GroupAnswer::Identified(ticket)) = &answer {
                this.core().observe(|observer| observer.reserves(ticket));
            }
            if let (Ok(answer), Some(watched)) = (&answer, &watched)
                && group.is_alive()
            {
                this.core().observe(|observer| watched.is_answered(observer, &group, answer));
            }
            reply.send(answer);
        })
    }

    pub(super) fn cast_group(self: &Rc<Self>, from: &Rc<Life>, to: GroupAddress, cast: &GroupCast) {
        if !from.is_alive() {
            return;
        }
        self.traffic().count(cast);
        // What is for sockets comes at most once, and in its order.
        let kind = if cast.message().is_some() { MessageKind::Delivery } else { MessageKind::Repeatable };
        let copies = if kind == MessageKind::Repeatable { self.copies() } else { 1 };
        for _ in 0..copies {
            let (this, cast) = (Rc::clone(self), cast.clone());
            let label = labels::group_cast(&cast);
            self.send(
                from,
                Object::Group(to),
                (kind, WithoutLife::Begin),
                || label,
                move |running| {
                    running.group().cast(this.with_bugs(to, cast));
                },
            );
        }
    }

    /// Applies the bug "unfenced report": a report claims to be from the Replica's current life.
    fn with_bugs(&self, group: GroupAddress, mut cast: GroupCast) -> GroupCast {
        if let GroupCast::Report(report) = &mut cast
            && self.core().has_bug(Bug::UnfencedReport)
        {
            let replica = Object::Replica(ReplicaAddress { group, replica: report.replica });
            let current = self.lives().current(replica).map_or(Epoch::default(), |running| running.life.epoch());
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
        if self.core().has_bug(Bug::UnawaitedJoin) && matches!(call, ReplicaCall::UpdateView(_)) {
            return self.do_not_await(object, call, reply);
        }
        self.observe_call(from, to.replica, &call);
        self.traffic().count(&call);
        let label = labels::replica_call(&call);
        // Broadcasts and whispers come at most once, and gossip calls the user's code.
        let is_repeatable = matches!(call, ReplicaCall::Join(_) | ReplicaCall::UpdateView(_) | ReplicaCall::Census(_));
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

    /// Applies the bug "unfenced view": the view of an earlier life of the Group claims to be the newest.
    fn with_bugged_view(&self, group: GroupAddress, mut call: ReplicaCall) -> ReplicaCall {
        if !self.core().has_bug(Bug::UnfencedView) {
            return call;
        }
        let current =
            self.lives().current(Object::Group(group)).map_or(Epoch::default(), |running| running.life.epoch());
        let view = match &mut call {
            ReplicaCall::Join(enrolment) | ReplicaCall::Census(enrolment) => &mut enrolment.view,
            ReplicaCall::UpdateView(view) => view,
            _ => return call,
        };
        if view.version.epoch < current {
            view.version.epoch = current;
            view.version.change += 1_000;
        }
        call
    }

    /// Applies the bug "unawaited join": an UpdateView is answered before it arrives. So the Group does not wait until
    /// the siblings know the new Replica.
    fn do_not_await(self: &Rc<Self>, to: Object, call: ReplicaCall, reply: ReplySender<ReplicaAnswer>) {
        self.core().clock().later(0, move || reply.send(Ok(ReplicaAnswer::ViewAck(Epoch::default()))));
        let lives = Rc::clone(self.lives());
        self.core().clock().later(UNAWAITED, move || lives.get_or_begin(to).replica().call(call, Reply::new(drop)));
    }

    /// A life calls a Replica.
    fn observe_call(&self, from: &Life, to: ReplicaId, call: &ReplicaCall) {
        match call {
            ReplicaCall::Deliver(delivery) => self.core().observe(|observer| observer.asks(to, &delivery.message)),
            ReplicaCall::Publication(delivery) => self.observe_publication(from, delivery),
            _ => {}
        }
    }

    /// A Group sends a publication.
    fn observe_publication(&self, from: &Life, delivery: &PublicationDelivery) {
        let PublicationDelivery { topic, epoch, publication, .. } = delivery;
        self.core().observe(|observer| {
            observer.shows(from, topic, (epoch, std::slice::from_ref(publication)));
            observer.sends(from, epoch, publication);
        });
    }

    pub(super) fn cast_replicas(self: &Rc<Self>, from: &Rc<Life>, to: &Targets, cast: &ReplicaCast) {
        if !from.is_alive() {
            return;
        }
        let (kind, label) = match cast {
            ReplicaCast::Deliver(delivery) => {
                self.core().observe(|observer| observer.addresses(from, to, &delivery.message));
                (MessageKind::Delivery, "Deliver")
            }
            ReplicaCast::DeliverTopic(delivery) => {
                self.core().observe(|observer| observer.addresses(from, to, &delivery.message));
                (MessageKind::Delivery, "Deliver to a topic")
            }
            ReplicaCast::Publication(delivery) => {
                self.observe_publication(from, delivery);
                // It can be lost: the Replica notices that, and fetches it.
                (MessageKind::Repeatable, "Publication")
            }
            ReplicaCast::Presence(_, changes) => {
                self.core().observe(|observer| observer.tells(from, changes));
                (MessageKind::Repeatable, "Presence")
            }
            ReplicaCast::PresenceHead(..) => (MessageKind::Repeatable, "Version of the presence"),
            ReplicaCast::LogHead(_) => (MessageKind::Repeatable, "Head of a log"),
            ReplicaCast::Acknowledge { .. } => (MessageKind::Repeatable, "Acknowledge"),
        };
        let is_missing = |replica| self.lives().current(Object::Replica(to.address(replica))).is_none();
        if self.core().has_bug(Bug::AllOrNothing) && to.iter().any(is_missing) {
            return;
        }
        for replica in to.iter() {
            self.traffic().count(cast);
            let copies = if kind == MessageKind::Repeatable { self.copies() } else { 1 };
            for _ in 0..copies {
                let cast = cast.clone();
                // Without a life there are no sockets, so no life needs to begin.
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
            has_expired: ticket.expires <= self.core().clock().now(),
            comes_from_struck_off: route.nodes.0 != route.nodes.1 && self.comes_from_struck_off(route),
        };
        let (this, life) = (Rc::clone(self), Rc::clone(life));
        Reply::new(move |answer: Result<Fetched, Error>| {
            if matches!(answer, Ok(Fetched::Response(_))) {
                this.core().observe(|observer| observer.lets_in(&life, &admission));
            }
            reply.send(answer);
        })
    }
}

/// Returns a copy of the request.
fn copy_of(request: &Request) -> Request {
    let mut copy = Request::new(Body::empty());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    copy
}
