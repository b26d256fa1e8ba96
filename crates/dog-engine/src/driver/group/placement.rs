//! Gives clients their seats, as the books decide, and has new Replicas named when all are full. Also what the Group's code can do
//! through its context.

use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::internal::{
    AppPort, GroupPort, GroupVerb, Kind, LocalFuture, LogVerb, LogVerbAnswer, Logs, ObjectPort, StoragePort, Topic,
    VerbAnswer,
};
use dog::{ClientId, Env, Error, Group, GroupId, Log, Message, ReplicaId, Timestamp};

use super::presence::{Attends, PresenceOfLife};
use super::presence_hooks::Hook;
use super::publications::{GroupOutbox, Publications, Publishes};
use super::verb_queue::Verbs;
use super::verbs::Speaks;
use super::waiting::{Locating, Reserved, Unplaced};
use super::{Awake, GroupDriver, OpenBooks, presence, publications, verbs};
use crate::address::{GroupAddress, NodeId, Ticket};
use crate::books::{Decision, MemberState};
use crate::driver::calls::user_function_by_deadline;
use crate::driver::failures::{UserFunction, public_error};
use crate::driver::front::object_port;
use crate::driver::object::{Outbox, over, spawn, spawn_of_user};
use crate::host::Host;
use crate::message::{GroupAnswer, GroupCall};
use crate::repeats::log_limited;
use crate::reply::Reply;

/// The error of a client for which no Replica could be found.
fn no_replica() -> Error {
    Error::new(Kind::NoRoom, "no Replica could be made for this client: try again later")
}

/// The error of a client that has enough already.
fn too_many_seats() -> Error {
    Error::new(Kind::TooManySeats, "this client has too many connections to this room: close one, or try again later")
}

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// Places a client. If there is no room, it waits for a new Replica.
    pub(super) fn identify(&self, books: &OpenBooks, mut unplaced: Unplaced) {
        unplaced.client = books.borrow_mut().with_id(unplaced.client);
        if !self.place(books, unplaced) {
            self.grow(books);
        }
    }

    /// Places a client, or queues it. Returns `false` if it needs a new Replica.
    fn place(&self, books: &OpenBooks, unplaced: Unplaced) -> bool {
        let (now, near) = (self.host().now(), unplaced.near);
        loop {
            let placement = books.borrow_mut().identify_near(&unplaced.client, unplaced.refused, near, now);
            match placement {
                Decision::Placed { ticket, joined } => {
                    self.reserve(books, ticket, joined, unplaced);
                    return true;
                }
                Decision::Unpark(replica) => self.admit(books, replica, near),
                Decision::Refuse => {
                    unplaced.reply.send(Err(too_many_seats()));
                    return true;
                }
                placement @ (Decision::Grow | Decision::Wait) => {
                    self.waiting.borrow_mut().unplaced().push(unplaced);
                    return placement == Decision::Wait;
                }
            }
        }
    }

    /// Answers with the ticket, at once or when the Replica has joined.
    fn reserve(&self, books: &OpenBooks, ticket: Ticket, joined: bool, Unplaced { near, reply, .. }: Unplaced) {
        if joined {
            reply.send(Ok(GroupAnswer::Identified(ticket)));
            return self.schedule_timer(books);
        }
        self.waiting.borrow_mut().reserve(Reserved { ticket, near, reply });
    }

    /// Places the client that has waited longest on any Replica with room, because no new one could be had.
    fn place_first_anywhere(&self, books: &OpenBooks) {
        let Some(first) = self.pop_first() else { return };
        let placement = books.borrow_mut().identify_anywhere(&first.client, self.host().now());
        match placement {
            Some(Decision::Placed { ticket, joined }) => self.reserve(books, ticket, joined, first),
            Some(Decision::Refuse) => first.reply.send(Err(too_many_seats())),
            _ => first.reply.send(Err(no_replica())),
        }
    }

    fn fail_first(&self, error: Error) {
        if let Some(first) = self.pop_first() {
            first.reply.send(Err(error));
        }
    }

    fn pop_first(&self) -> Option<Unplaced> {
        self.waiting.borrow_mut().unplaced().pop()
    }

    /// The Replica has joined. The lifetime of the ticket begins now: clients must not lose their seats because the Replica
    /// took long to wake, or the storage to record it.
    pub(super) fn answer_reserved(&self, books: &OpenBooks, Reserved { ticket, near, reply }: Reserved) {
        let renewed = books.borrow_mut().renew(&ticket, self.host().now());
        match renewed {
            Some(ticket) => reply.send(Ok(GroupAnswer::Identified(ticket))),
            None => self.identify(books, Unplaced { client: ticket.client, refused: None, near, reply }),
        }
    }

    /// Places all clients that wait, in their order, once the census is complete.
    pub(super) fn place_waiting(&self, books: &OpenBooks) {
        if books.borrow().awaits_census() {
            // They would all be queued again, once for every member that is counted.
            return;
        }
        let unplaced = self.waiting.borrow_mut().unplaced().take();
        for unplaced in unplaced {
            self.place(books, unplaced);
        }
        self.grow(books);
        let locating = self.waiting.borrow_mut().take_locating();
        for locating in locating {
            self.locate(books, locating);
        }
        if let Some(this) = self.this.upgrade() {
            verbs::run_waiting(&this, books);
        }
    }

    /// There is a new Replica on this node: places as many clients there as it has seats.
    fn place_near(&self, books: &OpenBooks, near: NodeId) {
        let seats = books.borrow().limit().get() as usize;
        let unplaced = self.waiting.borrow_mut().unplaced().take_near(near, seats);
        for unplaced in unplaced {
            self.place(books, unplaced);
        }
    }

    /// Answers where a client is, once the census is complete: a restart must not make a whisper miss its client.
    pub(super) fn locate(&self, books: &OpenBooks, locating: Locating) {
        if books.borrow().awaits_census() {
            return self.waiting.borrow_mut().locate_later(locating);
        }
        let replicas = books.borrow().locate(&locating.client);
        locating.reply.send(Ok(GroupAnswer::Located(replicas)));
    }

    /// Has as many new Replicas named as the waiting clients need.
    fn grow(&self, books: &OpenBooks) {
        let Some(this) = self.this.upgrade() else { return };
        let wanted = self.waiting.borrow_mut().unplaced().replicas(books.borrow().limit().get() as usize);
        while self.newcomers.borrow_mut().begin_naming(wanted) {
            let this = Rc::clone(&this);
            // Not polled here: a Replica that cannot be named must not lead to the next one within the same call.
            spawn(&Rc::clone(&this), async move { this.name_replica().await });
        }
    }

    async fn name_replica(self: &Rc<Self>) {
        let Ok(awake) = self.core.life().awake().await else { return };
        let books = &awake.books;
        let first =
            self.waiting.borrow_mut().unplaced().first().map(|unplaced| (unplaced.client.clone(), unplaced.near));
        let near = first.as_ref().map_or(NodeId::default(), |(_, near)| *near);
        let named = match first {
            Some((client, _)) => {
                let context = self.context();
                let (deadline, name) = (G::ACTIVATE_DEADLINE, UserFunction::Clusterize.name());
                let named = awake.group.clusterize(&context, &client);
                Some(user_function_by_deadline(self.host(), deadline, name, named).await)
            }
            None => None,
        };
        self.newcomers.borrow_mut().end_naming();
        match named {
            Some(Ok(replica)) => self.named(books, replica, near),
            Some(Err(failure)) => {
                self.report_failure(UserFunction::Clusterize, &failure);
                self.fail_first(public_error(&failure));
            }
            None => {}
        }
        self.grow(books);
    }

    fn named(&self, books: &OpenBooks, replica: ReplicaId, near: NodeId) {
        let (state, seats, limit, is_closed) = {
            let books = books.borrow();
            let state = books.state(replica);
            let is_closed = state.is_some_and(MemberState::takes_clients) && !books.takes_newcomers(replica);
            (state, books.seats(replica), books.limit().get(), is_closed)
        };
        if matches!(state, None | Some(MemberState::Parked)) {
            self.admit(books, replica, near);
            self.place_near(books, near);
        } else if is_closed {
            log_limited!(self.host(), error, "clusterize named a Replica that is closed", group = %self.address, "clusterize named Replica {replica}, which is closed to newcomers");
            self.fail_first(no_replica());
        } else if seats < limit {
            // A member on another node, with room.
            self.place_first_anywhere(books);
        } else {
            log_limited!(self.host(), error, "clusterize named a Replica that is full", group = %self.address, "clusterize named Replica {replica}, which is full already");
            self.fail_first(no_replica());
        }
    }

    /// Answers a call for which the user's value has to be in memory.
    pub(super) fn call_while_awake(&self, awake: &Awake<G>, call: GroupCall, reply: Reply<GroupAnswer>) {
        match call {
            GroupCall::Identify { client, refused, near } => {
                self.ask_silent(&awake.books);
                self.identify(&awake.books, Unplaced { client, refused, near, reply });
            }
            GroupCall::Locate { client } => {
                self.ask_silent(&awake.books);
                self.locate(&awake.books, Locating { client, reply });
            }
            GroupCall::Enroll(census) => {
                let enrolment = self.enroll(&awake.books, &census);
                reply.send(Ok(GroupAnswer::Enrolled(enrolment)));
            }
            GroupCall::Interest(report) => {
                let answer = self.interest(&awake.books, report);
                reply.send(Ok(GroupAnswer::Interest(answer)));
            }
            GroupCall::Parked => {
                let parked = awake.books.borrow().parked().collect();
                reply.send(Ok(GroupAnswer::Parked(parked)));
            }
            GroupCall::Presence(_, call) => {
                if let Some(this) = self.this.upgrade() {
                    presence::call(&this, call, reply);
                }
            }
            // They have begun before the Group is awake.
            GroupCall::Call { .. } | GroupCall::Verb(_) | GroupCall::Log { .. } => {}
            GroupCall::Missed(_) | GroupCall::Tail(_) => {}
        }
    }
}

impl<G: Group, H: Host> Attends for GroupDriver<G, H> {
    fn presence(&self) -> &PresenceOfLife {
        &self.presence
    }

    fn has_presence(topic: &str) -> bool {
        G::has_presence(topic)
    }

    fn run_hook(self: &Rc<Self>, hook: Hook) -> LocalFuture<()> {
        let this = Rc::clone(self);
        Box::pin(async move {
            let Some(awake) = this.core.life().get() else { return };
            let deadline = awake.books.borrow().policy().call_deadline;
            let (function, done) = hook.run(this.host(), &awake.group, &this.context(), deadline).await;
            if let Err(failure) = done {
                this.report_failure(function, &failure);
            }
        })
    }
}

impl<G: Group, H: Host> Publishes for GroupDriver<G, H> {
    fn publications(&self) -> &Publications {
        &self.publications
    }

    fn log(awake: &Awake<G>, topic: &str) -> Log {
        awake.group.log(topic)
    }

    fn deadline(awake: &Awake<G>) -> Duration {
        awake.books.borrow().policy().publish_deadline
    }

    fn go_on_with_purges(&self) {
        self.this.upgrade().iter().for_each(publications::go_on_with_purges);
    }
}

impl<G: Group, H: Host> Speaks for GroupDriver<G, H> {
    fn verbs(&self) -> &Verbs {
        &self.verbs
    }

    fn address(&self) -> GroupAddress {
        self.address
    }

    fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.this)
    }

    fn books(&self) -> Option<OpenBooks> {
        self.books.get()
    }

    fn open_books(self: &Rc<Self>) -> LocalFuture<Result<OpenBooks, Error>> {
        let this = Rc::clone(self);
        Box::pin(async move { this.books.open(this.host(), this.address, this.core.epoch()).await })
    }

    fn ask_silent_members(&self, books: &OpenBooks) {
        self.ask_silent(books);
    }

    fn count(&self, books: &OpenBooks, replica: ReplicaId) {
        self.count_member(books, replica);
    }

    fn is_disconnecting(&self, client: &ClientId) {
        self.this.upgrade().iter().for_each(|this| presence::disconnect(this, client));
    }

    fn in_grace(&self, after: Option<&ClientId>) -> Vec<ClientId> {
        self.presence.in_grace(after)
    }

    fn leave(&self) {
        let waiting = self.waiting.borrow_mut().take_all();
        drop(waiting);
        self.verbs.drop_waiting();
        self.publications.clear();
        self.presence.clear();
        self.timer.cancel();
        self.host().group_ended(self.address, self.core.epoch());
    }
}

impl<G: Group, H: Host> ObjectPort for GroupDriver<G, H> {
    fn env(&self) -> &Env {
        self.host().env()
    }

    fn now(&self) -> Timestamp {
        self.host().now()
    }

    fn stopping(&self) -> LocalFuture<()> {
        self.core.life().activation().stopping()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        self.host().sleep(duration)
    }

    fn spawn(&self, task: LocalFuture<()>) -> Result<(), Error> {
        self.core.life().activation().check()?;
        spawn_of_user(&self.this.upgrade().ok_or_else(over)?, task)
    }

    fn storage(&self) -> Rc<dyn StoragePort> {
        let outbox = Logs::ON.then(|| Rc::new(GroupOutbox(Weak::clone(&self.this))) as Rc<dyn Outbox>);
        self.core.storage_port(outbox)
    }

    fn dog(&self) -> Rc<dyn AppPort> {
        object_port(Rc::clone(self.host()), self.core.life().activation())
    }
}

impl<G: Group, H: Host> GroupPort for GroupDriver<G, H> {
    fn group(&self) -> GroupId {
        self.address.group
    }

    fn unique_replica(&self) -> ReplicaId {
        self.host().unique_replica(self.address)
    }

    fn class(&self) -> &'static str {
        G::NAME
    }

    fn broadcast(&self, topic: Option<Topic>, message: Message) -> Result<(), Error> {
        verbs::own_cast(self, topic, message)
    }

    fn verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        if presence::is_about_presence(&verb) {
            return presence::own_verb(self, |this| Box::pin(this.woken()), verb);
        }
        verbs::own_call(self, verb)
    }

    fn log(&self, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>> {
        publications::own_call(self, |this| Box::pin(this.woken()), verb)
    }
}
