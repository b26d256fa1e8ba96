//! How a cluster grows and wakes: naming new Replicas, joining them, the view, the census.

use std::collections::BTreeSet;
use std::rc::Rc;

use dog::internal::LocalFuture;
use dog::{Error, Group, ReplicaId};
use futures_util::FutureExt;

use super::calls::{ask_all, by_deadline, in_time, unexpected};
use super::group::{Awake, GroupDriver};
use super::life::{Living, spawn, start};
use super::placing::no_replica;
use super::replica::failed;
use crate::address::{NodeId, ReplicaAddress, Targets, ViewVersion};
use crate::books::Standing;
use crate::host::{Host, Occurrence};
use crate::message::{Enrolment, ReplicaAnswer, ReplicaCall, Report};
use crate::repeats::seldom;

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// Has as many new Replicas named as those who wait need.
    pub(super) fn grow(&self, awake: &Awake<G>) {
        let Some(this) = self.this.upgrade() else { return };
        let wanted = self.waiting.borrow().replicas(awake.books.borrow().limit().get() as usize);
        while (self.growing.get() as usize) < wanted {
            self.growing.set(self.growing.get() + 1);
            let this = Rc::clone(&this);
            // Not at once: one that cannot be named must not lead into the next within the same call.
            spawn(&Rc::clone(&this), async move { this.name_replica().await });
        }
    }

    async fn name_replica(self: &Rc<Self>) {
        let Ok(awake) = self.awake().await else { return };
        let first = self.waiting.borrow().first().map(|waiting| (waiting.client.clone(), waiting.near));
        let near = first.as_ref().map_or(NodeId::default(), |(_, near)| *near);
        let named = match first {
            Some((client, _)) => {
                let context = self.context();
                let named = awake.group.clusterize(&context, &client);
                Some(in_time(&self.host, G::ACTIVATE_DEADLINE, "clusterize", named).await)
            }
            None => None,
        };
        self.growing.set(self.growing.get() - 1);
        match named {
            Some(Ok(replica)) if self.is_new(&awake, replica) => {
                self.admit(&awake, replica, near);
                self.place_near(&awake, near);
            }
            // Full here, or one of another node that has room.
            Some(Ok(replica)) if awake.books.borrow().seats(replica) < awake.books.borrow().limit().get() => {
                self.place_first_anywhere(&awake);
            }
            Some(Ok(replica)) => {
                seldom!(self.host, error, "clusterize named a Replica that is full", group = %self.address, "clusterize named Replica {replica}, which is full already");
                self.fail_first(no_replica());
            }
            Some(Err(failure)) => {
                self.host.occurred(Occurrence::Failed { handler: "clusterize", cause: &failure });
                seldom!(self.host, error, "clusterize failed", group = %self.address, "clusterize failed: {failure}");
                self.fail_first(failed(&failure));
            }
            None => {}
        }
        self.grow(&awake);
    }

    fn is_new(&self, awake: &Awake<G>, replica: ReplicaId) -> bool {
        matches!(awake.books.borrow().standing(replica), None | Some(Standing::Parked))
    }

    fn fail_first(&self, error: Error) {
        let first = self.waiting.borrow_mut().pop();
        if let Some(first) = first {
            first.reply.send(Err(error));
        }
    }

    /// Takes a Replica into the cluster, and lets everyone know before anyone is sent there.
    pub(super) fn admit(&self, awake: &Awake<G>, replica: ReplicaId, near: NodeId) {
        if awake.books.borrow_mut().admit_at(replica, near, self.host.now()) {
            self.host.prefer(ReplicaAddress { group: self.address, replica }, near);
            self.join(replica);
        }
    }

    /// Tells `replica` of its siblings and its siblings of it. Those that come while others are being introduced are
    /// introduced together after them: in a storm of joins every member is asked once a round, and not once a newcomer.
    pub(super) fn join(&self, replica: ReplicaId) {
        let Some(this) = self.this.upgrade() else { return };
        self.newcomers.borrow_mut().push(replica);
        if !self.introducing.replace(true) {
            start(&Rc::clone(&this), async move {
                while !this.newcomers.borrow().is_empty() {
                    this.introduce(this.newcomers.take()).await;
                }
                this.introducing.set(false);
            });
        }
    }

    /// One round: ends when the siblings know the newcomers, or have missed the deadline. Whoever is admitted while it
    /// lasts comes in the next one, in which the newcomers of this one are siblings.
    async fn introduce(self: &Rc<Self>, newcomers: Vec<ReplicaId>) {
        let Ok(awake) = self.awake().await else { return };
        let (enrolment, mut siblings) = self.introduction(&awake, None);
        let new: BTreeSet<_> = newcomers.iter().collect();
        siblings.replicas = siblings.iter().filter(|sibling| !new.contains(sibling)).collect();
        let deadline = awake.books.borrow().policy().join_deadline;
        let asked: Vec<_> =
            newcomers.iter().map(|replica| (*replica, self.ask_to_join(*replica, &enrolment))).collect();
        let this = Rc::clone(self);
        let round = async move {
            let version = enrolment.view.version;
            let meet = ReplicaCall::Meet(enrolment.view);
            let met = ask_all(&this.host, &siblings, &meet, deadline);
            let (met, kept) = futures_util::future::join(met, this.keep_members(&newcomers)).await;
            this.hear_met(&met, version).await;
            Rc::new(kept)
        };
        let round = round.boxed_local().shared();
        for (replica, asked) in asked {
            let (this, round) = (Rc::clone(self), round.clone());
            start(self, async move {
                let (joined, kept) = futures_util::future::join(by_deadline(&this.host, deadline, asked), round).await;
                let joined = match &*kept {
                    Ok(()) => joined,
                    Err(error) => Err(Error::new(error.kind(), error.to_string())),
                };
                this.has_joined(replica, joined).await;
            });
        }
        drop(awake);
        round.await;
    }

    /// The question is on its way when this returns: before those to the siblings.
    fn ask_to_join(&self, replica: ReplicaId, enrolment: &Enrolment) -> LocalFuture<Result<Report, Error>> {
        let to = ReplicaAddress { group: self.address, replica };
        let asked = self.host.call_replica(to, ReplicaCall::Join(enrolment.clone()));
        Box::pin(async move {
            match asked.await? {
                ReplicaAnswer::Counted(census) => Ok(census),
                _ => Err(unexpected()),
            }
        })
    }

    /// Members must be found again after a restart, before anyone is sent to them.
    async fn keep_members(&self, replicas: &[ReplicaId]) -> Result<(), Error> {
        let awake = self.awake().await?;
        self.keep(&awake, replicas).await
    }

    fn introduction(&self, awake: &Awake<G>, except: Option<ReplicaId>) -> (Enrolment, Targets) {
        let books = awake.books.borrow();
        let view = books.view().clone();
        let siblings = Targets { group: self.address, replicas: view.members.clone(), except };
        (Enrolment { limit: books.limit(), view }, siblings)
    }

    /// Siblings that did not say that they know the view are served without, and get no clients until they are heard
    /// again, for which they are asked. One that has begun another life is counted.
    async fn hear_met(&self, met: &[(ReplicaId, Result<ReplicaAnswer, Error>)], missed: ViewVersion) {
        let Ok(awake) = self.awake().await else { return };
        for (sibling, answer) in met {
            match answer {
                Ok(ReplicaAnswer::Known(epoch)) => {
                    awake.books.borrow_mut().known(*sibling, *epoch, self.host.now());
                    let uncounted = awake.books.borrow().is_uncounted(*sibling);
                    let standing = awake.books.borrow().standing(*sibling);
                    if uncounted && standing != Some(Standing::Uncounted) {
                        self.count(&awake, *sibling);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    seldom!(self.host, warn, "a Replica did not answer", group = %self.address, "Replica {sibling:?} did not answer: {error}");
                    let mut books = awake.books.borrow_mut();
                    books.suspect(*sibling);
                    books.ask_later(*sibling, missed, self.host.now());
                }
            }
        }
        self.plan_look(&awake);
    }

    async fn has_joined(&self, replica: ReplicaId, joined: Result<Report, Error>) {
        let Ok(awake) = self.awake().await else { return };
        let waiting = self.joining.borrow_mut().remove(&replica).unwrap_or_default();
        match joined {
            Ok(census) => {
                awake.books.borrow_mut().joined(&census, self.host.now());
                waiting.into_iter().for_each(|seated| self.answer_seated(&awake, seated));
            }
            Err(error) => {
                // A host that has as many objects as it may counts those that it refuses.
                if !error.is_no_room() {
                    seldom!(self.host, error, "a Replica could not join", group = %self.address, "Replica {replica:?} could not join: {error}");
                }
                awake.books.borrow_mut().remove(replica, self.host.now());
                self.keep_later(&awake, &[replica]);
                for (.., reply) in waiting {
                    reply.send(Err(Error::new(error.kind(), "the Replica for this client could not be woken")));
                }
                self.spread_view(&awake);
                self.place_waiting(&awake);
            }
        }
        self.plan_look(&awake);
    }

    /// Tells all members who they are now. Nobody waits for it: members that have left do no harm in an older view.
    pub(super) fn spread_view(&self, awake: &Awake<G>) {
        let (_, members) = self.introduction(awake, None);
        self.show_view(awake, members);
    }

    fn show_view(&self, awake: &Awake<G>, members: Targets) {
        let Some(this) = self.this.upgrade() else { return };
        let (enrolment, _) = self.introduction(awake, None);
        let deadline = awake.books.borrow().policy().join_deadline;
        start(&Rc::clone(&this), async move {
            let version = enrolment.view.version;
            let met = ask_all(&this.host, &members, &ReplicaCall::Meet(enrolment.view), deadline).await;
            this.hear_met(&met, version).await;
        });
    }

    /// Takes in what a Replica says of its seats, and does what follows from it. Returns whether to acknowledge it.
    pub(super) fn take_report(&self, awake: &Awake<G>, report: &Report) -> bool {
        let replica = report.replica;
        let (view, standing) = (awake.books.borrow().view().version, awake.books.borrow().standing(replica));
        let heard = awake.books.borrow_mut().report(report, self.host.now());
        if awake.books.borrow().view().version != view {
            // It was parked or a stranger, and has seats.
            self.keep_later(awake, &[replica]);
            self.join(replica);
        } else if heard && standing == Some(Standing::Suspected) {
            // The others may have gone on without it.
            self.show_view(awake, self.one(replica));
        } else if !heard && awake.books.borrow().is_uncounted(replica) {
            // It is there after all, if it did not answer the last census. If there was none yet, it is counted for itself.
            let is_being_counted = standing == Some(Standing::Uncounted) && self.census.get();
            if !is_being_counted {
                self.count(awake, replica);
            }
        }
        heard
    }

    /// Asks the members of an earlier life for their seats. Clients wait until all have answered, or the deadline.
    pub(super) fn take_census(&self) {
        let Some(awake) = self.awake_now() else { return };
        self.census.set(true);
        let uncounted = awake.books.borrow().uncounted();
        for replica in uncounted {
            self.count(&awake, replica);
        }
        self.plan_look(&awake);
    }

    /// Asks a member for its seats, and tells it the view.
    pub(super) fn count(&self, awake: &Awake<G>, replica: ReplicaId) {
        let Some(this) = self.this.upgrade() else { return };
        let deadline = awake.books.borrow().policy().join_deadline;
        let (enrolment, _) = self.introduction(awake, None);
        start(&Rc::clone(&this), async move {
            let to = ReplicaAddress { group: this.address, replica };
            let version = enrolment.view.version;
            let call = this.host.call_replica(to, ReplicaCall::Census(enrolment));
            let counted = by_deadline(&this.host, deadline, call).await;
            this.was_counted(replica, counted, version).await;
        });
    }

    async fn was_counted(&self, replica: ReplicaId, counted: Result<ReplicaAnswer, Error>, told: ViewVersion) {
        let Ok(awake) = self.awake().await else { return };
        let heard = match counted {
            Ok(ReplicaAnswer::Counted(report)) => Some(self.take_report(&awake, &report)),
            Ok(_) | Err(_) => None,
        };
        if heard == Some(true) {
            awake.books.borrow_mut().told(replica, told);
        } else if heard.is_none() || awake.books.borrow().is_uncounted(replica) {
            // No answer, or that of a life which is known to be over: what the present one has is still unknown, and
            // nobody is to wait for it.
            seldom!(self.host, warn, "a Replica did not answer the census", group = %self.address, "Replica {replica:?} did not answer the census");
            let mut books = awake.books.borrow_mut();
            books.suspect(replica);
            books.ask_later(replica, told, self.host.now());
        }
        self.place_waiting(&awake);
        self.plan_look(&awake);
    }

    async fn awake(&self) -> Result<Rc<Awake<G>>, Error> {
        self.life().awake().await
    }

    pub(super) fn awake_now(&self) -> Option<Rc<Awake<G>>> {
        self.life().get()
    }
}
