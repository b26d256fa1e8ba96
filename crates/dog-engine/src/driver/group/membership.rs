//! Takes Replicas into the cluster, introduces them to their siblings, spreads the view, counts the members' seats, and does
//! what time brings.

use std::collections::HashSet;
use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::internal::LocalFuture;
use dog::{Error, Group, ReplicaId};
use futures_util::FutureExt;

use super::{GroupDriver, OpenBooks, member_records, presence, presence_topics, publications};
use crate::address::{NodeId, ReplicaAddress, Targets, ViewVersion};
use crate::books::MemberState;
use crate::driver::calls::{by_deadline, call_all, unexpected_answer};
use crate::driver::object::start;
use crate::host::Host;
use crate::log::AnswerBounds;
use crate::message::{AssignRule, Enrolment, InterestAnswer, InterestReport, ReplicaAnswer, ReplicaCall, Report};
use crate::repeats::log_limited;

/// How many parked members are examined before other tasks run.
const EXAMINED_TOGETHER: usize = 128;

/// The shortest time until the books are advanced again.
const SHORTEST_TIMER: Duration = Duration::from_millis(20);

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// Takes a Replica into the cluster. All members know of it before a client is sent there.
    pub(super) fn admit(&self, books: &OpenBooks, replica: ReplicaId, near: NodeId) {
        if books.borrow_mut().admit_at(replica, near, self.host().now()) {
            self.host().prefer(ReplicaAddress { group: self.address, replica }, near);
            self.introduce(replica);
        }
    }

    /// Tells `replica` of its siblings and its siblings of it, in this round of introductions or in the next.
    pub(super) fn introduce(&self, replica: ReplicaId) {
        let Some(this) = self.this.upgrade() else { return };
        let has_to_start = self.newcomers.borrow_mut().admit(replica);
        if has_to_start {
            start(&Rc::clone(&this), async move {
                while let Some(newcomers) = this.next_newcomers() {
                    this.introduce_all(newcomers).await;
                }
            });
        }
    }

    fn next_newcomers(&self) -> Option<Vec<ReplicaId>> {
        self.newcomers.borrow_mut().next_round()
    }

    /// One round. It ends when the siblings know the newcomers, or the deadline has passed. A Replica that is admitted
    /// meanwhile comes in the next round, and the newcomers of this one are its siblings.
    async fn introduce_all(self: &Rc<Self>, newcomers: Vec<ReplicaId>) {
        let Some(books) = self.books.get() else { return };
        let enrolment = self.enrolment(&books);
        let new: HashSet<_> = newcomers.iter().copied().collect();
        let mut siblings = self.members(&enrolment);
        siblings.replicas = siblings.iter().filter(|sibling| !new.contains(sibling)).collect();
        let deadline = books.borrow().policy().join_deadline;
        let joins: Vec<_> = newcomers.iter().map(|replica| (*replica, self.call_join(*replica, &enrolment))).collect();
        let this = Rc::clone(self);
        let version = enrolment.view.version;
        let round = async move {
            let call = ReplicaCall::UpdateView(enrolment.view);
            let acks = call_all(this.host(), &siblings, &call, deadline);
            let (acks, stored) = futures_util::future::join(acks, this.store_members(&newcomers)).await;
            this.take_view_acks(&acks, version).await;
            Rc::new(stored)
        };
        let round = round.boxed_local().shared();
        for (replica, join) in joins {
            let (this, round) = (Rc::clone(self), round.clone());
            start(self, async move {
                // Others await the round too, so it goes on meanwhile.
                let joined = by_deadline(this.host(), deadline, join).await;
                let joined = match &*round.await {
                    Ok(()) => joined,
                    Err(error) => Err(Error::new(error.kind(), error.to_string())),
                };
                this.has_joined(replica, joined, version);
            });
        }
        drop(books);
        round.await;
    }

    /// The call is sent before this returns, so it comes before the siblings' calls.
    fn call_join(&self, replica: ReplicaId, enrolment: &Enrolment) -> LocalFuture<Result<Report, Error>> {
        let to = ReplicaAddress { group: self.address, replica };
        let answer = self.host().call_replica(to, ReplicaCall::Join(enrolment.clone()));
        Box::pin(async move {
            match answer.await? {
                ReplicaAnswer::Counted(census) => Ok(census),
                _ => Err(unexpected_answer()),
            }
        })
    }

    fn enrolment(&self, books: &OpenBooks) -> Enrolment {
        let books = books.borrow();
        let policy = books.policy();
        Enrolment {
            limit: books.limit(),
            assign: AssignRule::of(policy),
            publish_within: policy.publish_deadline,
            presence: policy.presence.map(|presence| presence.feature()),
            recovery: AnswerBounds::of(policy),
            view: books.view().clone(),
        }
    }

    fn members(&self, enrolment: &Enrolment) -> Targets {
        Targets { group: self.address, replicas: enrolment.view.members.clone(), except: None }
    }

    /// Takes the siblings' acknowledgements of a view. One that has not acknowledged gets no clients until it is heard again,
    /// and is asked for that. One that has begun another life is counted.
    async fn take_view_acks(&self, acks: &[(ReplicaId, Result<ReplicaAnswer, Error>)], missed: ViewVersion) {
        let Some(books) = self.books.get() else { return };
        for (sibling, ack) in acks {
            match ack {
                Ok(ReplicaAnswer::ViewAck(epoch)) => {
                    books.borrow_mut().answered(*sibling, *epoch, self.host().now());
                    let uncounted = books.borrow().is_uncounted(*sibling);
                    let state = books.borrow().state(*sibling);
                    if uncounted && state != Some(MemberState::Uncounted) {
                        self.count_member(&books, *sibling);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    log_limited!(self.host(), warn, "a Replica did not answer", group = %self.address, "Replica {sibling:?} did not answer: {error}");
                    let mut books = books.borrow_mut();
                    books.suspect(*sibling);
                    books.ask_later(*sibling, missed, self.host().now());
                }
            }
        }
        self.schedule_timer(&books);
    }

    /// `told` is the view that it was to be told.
    fn has_joined(&self, replica: ReplicaId, joined: Result<Report, Error>, told: ViewVersion) {
        let Some(books) = self.books.get() else { return };
        let reserved = self.waiting.borrow_mut().take_reserved(replica);
        match joined {
            Ok(census) => {
                books.borrow_mut().joined(&census, self.host().now());
                reserved.into_iter().for_each(|reserved| self.answer_reserved(&books, reserved));
            }
            Err(error) => {
                // A host that has reached its limit of objects counts those that it refuses itself.
                if !error.is_no_room() {
                    log_limited!(self.host(), error, "a Replica could not join", group = %self.address, "Replica {replica:?} could not join: {error}");
                }
                books.borrow_mut().could_not_join(replica, told, self.host().now());
                self.store_later(&books, &[replica]);
                for reserved in reserved {
                    let text = "the Replica for this client could not be woken";
                    reserved.reply.send(Err(Error::new(error.kind(), text)));
                }
                self.spread_view(&books);
                self.place_waiting(&books);
            }
        }
        self.schedule_timer(&books);
    }

    /// Sends the view to all members. Nobody waits for their answers: an older view does no harm, for its members that have
    /// left have no sockets.
    pub(super) fn spread_view(&self, books: &OpenBooks) {
        let members = self.members(&self.enrolment(books));
        self.send_view(books, members);
    }

    fn send_view(&self, books: &OpenBooks, members: Targets) {
        let Some(this) = self.this.upgrade() else { return };
        let view = self.enrolment(books).view;
        let deadline = books.borrow().policy().join_deadline;
        start(&Rc::clone(&this), async move {
            let version = view.version;
            let acks = call_all(this.host(), &members, &ReplicaCall::UpdateView(view), deadline).await;
            this.take_view_acks(&acks, version).await;
        });
    }

    /// Takes a Replica's report of its seats, and does what follows from it. Returns whether to acknowledge it.
    pub(super) fn take_report(&self, books: &OpenBooks, report: &Report) -> bool {
        let replica = report.replica;
        let (view, state) = (books.borrow().view().version, books.borrow().state(replica));
        let accepted = books.borrow_mut().report(report, self.host().now());
        if books.borrow().view().version != view {
            // It was parked or unknown, and has seats.
            self.store_later(books, &[replica]);
            self.introduce(replica);
        } else if accepted && state == Some(MemberState::Suspected) {
            // It may have missed a view.
            self.send_view(books, self.one(replica));
        } else if !accepted && books.borrow().is_uncounted(replica) {
            // It lives, although it has not answered the last census. If there was no census yet, it is counted alone.
            let is_being_counted = state == Some(MemberState::Uncounted) && self.census_taken.get();
            if !is_being_counted {
                self.count_member(books, replica);
            }
        }
        accepted
    }

    /// Starts the timer for the next deadline in the books.
    pub(super) fn schedule_timer(&self, books: &OpenBooks) {
        let deadline = books.borrow_mut().next_deadline();
        // Until the user's policy is known, nobody is placed or parked.
        if !books.borrow().is_configured() {
            return;
        }
        let this = Weak::clone(&self.this);
        self.timer.schedule(self.host(), deadline, SHORTEST_TIMER, move || {
            if let Some(this) = this.upgrade() {
                this.timer.fired();
                this.on_timer();
            }
        });
    }

    /// Tickets expire, empty Replicas are parked, silent members are asked for their seats.
    fn on_timer(&self) {
        let Some(books) = self.books.get() else { return };
        let parked = books.borrow_mut().advance(self.host().now());
        let to_ask = books.borrow_mut().to_ask(self.host().now());
        self.store_later(&books, &parked);
        to_ask.into_iter().for_each(|replica| self.count_member(&books, replica));
        if let Some(this) = self.this.upgrade() {
            parked.iter().for_each(|replica| presence::check_parked(&this, *replica));
        }
        if !parked.is_empty() {
            if self.host().profile().reads_other_objects {
                // Before the view is sent: a Replica that receives it asks which siblings are parked.
                let never_served = books.borrow_mut().never_served(&parked);
                self.forget_unused(never_served);
            }
            self.spread_view(&books);
        }
        self.schedule_timer(&books);
        self.note_event();
    }

    /// The books should be right now. Where no timer keeps them right, members that were silent for long are asked.
    pub(super) fn ask_silent(&self, books: &OpenBooks) {
        if self.host().profile().liveness.are_timed() {
            return;
        }
        if !self.census_taken.get() {
            self.take_census();
        }
        books.borrow_mut().check_silent(self.host().now());
        self.schedule_timer(books);
    }

    /// Takes a Replica's report of its topics, and does what follows from it.
    pub(super) fn interest(&self, books: &OpenBooks, mut report: InterestReport) -> InterestAnswer {
        let (replica, known) = (report.replica, books.borrow().view().version);
        let too_many = presence_topics::leave_out_refused(self, books, &mut report);
        let mut answer = books.borrow_mut().interest(&report, self.host().now());
        if let InterestAnswer::Taken { refused } = &mut answer {
            refused.extend(too_many);
        }
        if books.borrow().view().version != known {
            self.store_later(books, &[replica]);
            self.introduce(replica);
        }
        self.schedule_timer(books);
        answer
    }

    /// A Replica that woke by itself reports its seats.
    pub(super) fn enroll(&self, books: &OpenBooks, census: &Report) -> Enrolment {
        let (replica, known) = (census.replica, books.borrow().view().version);
        books.borrow_mut().enrolled(census, self.host().now());
        if books.borrow().view().version != known {
            self.store_later(books, &[replica]);
            self.introduce(replica);
        }
        self.enrolment(books)
    }

    /// Asks the members of an earlier life for their seats. Clients wait until all have answered, or until the deadline.
    pub(super) fn take_census(&self) {
        let Some(books) = self.books.get() else { return };
        self.census_taken.set(true);
        let uncounted = books.borrow().uncounted();
        for replica in uncounted {
            self.count_member(&books, replica);
        }
        self.schedule_timer(&books);
    }

    /// Asks a member for its seats, and tells it the view.
    pub(super) fn count_member(&self, books: &OpenBooks, replica: ReplicaId) {
        let Some(this) = self.this.upgrade() else { return };
        let deadline = books.borrow().policy().join_deadline;
        let enrolment = books.borrow().is_configured().then(|| self.enrolment(books));
        start(&Rc::clone(&this), async move {
            let to = ReplicaAddress { group: this.address, replica };
            let told = enrolment.as_ref().map(|enrolment| enrolment.view.version);
            let call = enrolment.map_or(ReplicaCall::CountSeats, ReplicaCall::Census);
            let counted = by_deadline(this.host(), deadline, this.host().call_replica(to, call)).await;
            this.was_counted(replica, counted, told);
        });
    }

    /// `told` is the view that the member got with the question.
    fn was_counted(&self, replica: ReplicaId, counted: Result<ReplicaAnswer, Error>, told: Option<ViewVersion>) {
        let Some(books) = self.books.get() else { return };
        if told.is_none() && books.borrow().is_configured() {
            // Meanwhile the user's value has come into memory, and counts the member again with the view.
            return;
        }
        let told = told.unwrap_or_default();
        let accepted = match counted {
            Ok(ReplicaAnswer::Counted(report)) => Some(self.take_report(&books, &report)),
            Ok(_) | Err(_) => None,
        };
        if accepted == Some(true) {
            books.borrow_mut().has_view(replica, told);
        } else if accepted.is_none() || books.borrow().is_uncounted(replica) {
            // No answer, or the answer of a life that is known to be over. The seats of the current life stay unknown, and
            // no client waits for them.
            log_limited!(self.host(), warn, "a Replica did not answer the census", group = %self.address, "Replica {replica:?} did not answer the census");
            let mut books = books.borrow_mut();
            books.suspect(replica);
            books.ask_later(replica, told, self.host().now());
        }
        self.place_waiting(&books);
        self.schedule_timer(&books);
        self.this.upgrade().iter().for_each(presence::members_were_counted);
        if !books.borrow().awaits_census()
            && let (Some(this), Some(awake)) = (self.this.upgrade(), self.core.life().get())
        {
            publications::remind(&this, awake);
        }
    }

    /// Stores members, so that the next life finds them. Durable when it returns `Ok`.
    async fn store_members(&self, replicas: &[ReplicaId]) -> Result<(), Error> {
        let Some(books) = self.books.get() else { return Ok(()) };
        self.store(&books, replicas).await
    }

    fn store(&self, books: &OpenBooks, replicas: &[ReplicaId]) -> LocalFuture<Result<(), Error>> {
        let books = books.borrow();
        let records = replicas.iter().map(|replica| (*replica, books.record(*replica)));
        member_records::store(&**self.host(), self.address, self.core.epoch(), records)
    }

    /// The same where nobody waits for it: the older record does no harm.
    pub(super) fn store_later(&self, books: &OpenBooks, replicas: &[ReplicaId]) {
        let Some(this) = self.this.upgrade().filter(|_| !replicas.is_empty()) else { return };
        let written = self.store(books, replicas);
        start(&this.clone(), async move {
            if let Err(error) = written.await {
                log_limited!(this.host(), error, "the members of a Group could not be stored", group = %this.address, "the members could not be stored: {error}");
            }
        });
    }

    /// Forgets those of these parked members that store nothing, so that a room that was left, or a Replica that was made for
    /// a client who never came, costs nothing for ever.
    pub(super) fn forget_unused(&self, parked: Vec<ReplicaId>) {
        let Some(this) = self.this.upgrade().filter(|_| !parked.is_empty()) else { return };
        start(&this.clone(), async move {
            for some in parked.chunks(EXAMINED_TOGETHER) {
                let mut unused = Vec::new();
                for replica in some {
                    if member_records::stores_nothing(&**this.host(), this.address, *replica).await {
                        unused.push(*replica);
                    }
                }
                let Some(books) = this.books.get() else { return };
                let gone = books.borrow_mut().forget(&unused);
                presence::forget(&this, &gone);
                this.store_later(&books, &gone);
                if parked.len() > EXAMINED_TOGETHER {
                    this.host().sleep(Duration::ZERO).await;
                }
            }
        });
    }
}
