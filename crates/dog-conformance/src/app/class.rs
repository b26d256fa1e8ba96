//! The Groups of the test App: several classes with the same code, which differ in limit, times and names.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dog::http::StatusCode;
use dog::{ClientId, Failure, Group, GroupContext, GroupId, Limit, Policy, ReplicaId, Request, Response, Result};

use super::protocol::{BOUND, BOUND_THERE, FAR, PLACED, StorageStep, TOGETHER, UNPLACEABLE, UNWAKEABLE};
use super::responses;
use super::room::Room;
use super::storage_runner;

/// What differs between the classes of Groups.
pub trait Class: 'static {
    /// [`Group::NAME`]
    const NAME: &'static str;

    /// [`Group::limit`]
    const LIMIT: Limit;

    /// [`Group::policy`]
    fn policy() -> Policy {
        patient()
    }

    /// [`Group::ACTIVATE_DEADLINE`]
    const ACTIVATE_DEADLINE: Duration = Duration::from_secs(30);

    /// Waits, if the class makes this function wait.
    fn waits(group: GroupId, function: &'static str) -> impl Future<Output = ()> {
        let _ = (group, function);
        async {}
    }

    /// [`Group::clusterize`]
    ///
    /// # Errors
    /// If the class makes it fail.
    fn clusterize(cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        let _ = client;
        Ok(cx.unique_replica())
    }

    /// Part of [`Replica::activate`](dog::Replica::activate).
    ///
    /// # Errors
    /// If the class makes it fail.
    fn activate(group: GroupId, replica: ReplicaId) -> Result {
        let _ = (group, replica);
        Ok(())
    }
}

/// A member that is slow because the machine is busy must not count as gone, and a ticket must live longer than a scenario
/// waits for a seat to be released.
fn patient() -> Policy {
    Policy { join_deadline: Duration::from_secs(20), ticket_lifetime: Duration::from_secs(60), ..Policy::default() }
}

/// One seat per Replica, so that every client needs another Replica.
pub type Single = Cluster<OneSeat>;
/// Two seats per Replica.
pub type Pair = Cluster<TwoSeats>;
/// Eight seats per Replica, so that Replicas can differ in room.
pub type Octet = Cluster<EightSeats>;
/// Fifty seats per Replica, so that a whole scenario fits on one.
pub type Hall = Cluster<FiftySeats>;
/// Eight seats per Replica, and times so short that a scenario can wait for them.
pub type Brief = Cluster<ShortTimes>;
/// Two seats per Replica, and Replicas named after the client for which they are created: [`named_replica`].
pub type Named = Cluster<NamedReplicas>;

/// Eight seats per Replica. In each Group, the first call of `activate` and of `clusterize` never returns.
pub type Slow = Cluster<SlowToBegin>;

/// See [`Single`].
pub enum OneSeat {}
impl Class for OneSeat {
    const NAME: &'static str = "single";
    const LIMIT: Limit = Limit::new(1);
}

/// See [`Pair`].
pub enum TwoSeats {}
impl Class for TwoSeats {
    const NAME: &'static str = "pair";
    const LIMIT: Limit = Limit::new(2);
}

/// See [`Octet`].
pub enum EightSeats {}
impl Class for EightSeats {
    const NAME: &'static str = "octet";
    const LIMIT: Limit = Limit::new(8);
}

/// See [`Hall`].
pub enum FiftySeats {}
impl Class for FiftySeats {
    const NAME: &'static str = "hall";
    const LIMIT: Limit = Limit::new(50);
}

/// See [`Brief`].
pub enum ShortTimes {}
impl ShortTimes {
    /// How long clients are remembered, and how long Replicas are empty before they are parked.
    pub const SPAN: Duration = Duration::from_secs(1);
    /// The lifetime of tickets. Every client has to come within it, also on a busy machine.
    pub const TICKET: Duration = Duration::from_secs(3);
}
impl Class for ShortTimes {
    const NAME: &'static str = "brief";
    const LIMIT: Limit = Limit::new(8);

    fn policy() -> Policy {
        Policy { ticket_lifetime: Self::TICKET, sticky_for: Self::SPAN, park_after: Self::SPAN, ..patient() }
    }
}

/// See [`Slow`].
pub enum SlowToBegin {}
impl Class for SlowToBegin {
    const NAME: &'static str = "slow";
    const LIMIT: Limit = Limit::new(8);
    const ACTIVATE_DEADLINE: Duration = Duration::from_secs(1);

    async fn waits(group: GroupId, function: &'static str) {
        // Objects of one process can live on several threads.
        static CALLED: Mutex<Option<HashSet<(GroupId, &'static str)>>> = Mutex::new(None);
        let is_first = {
            let mut called = CALLED.lock().unwrap_or_else(PoisonError::into_inner);
            called.get_or_insert_default().insert((group, function))
        };
        if is_first {
            std::future::pending::<()>().await;
        }
    }
}

/// See [`Named`].
pub enum NamedReplicas {}
impl Class for NamedReplicas {
    const NAME: &'static str = "named";
    const LIMIT: Limit = Limit::new(2);

    fn clusterize(cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        if client.as_str().starts_with(UNPLACEABLE) {
            return Err(Failure::new("the secret of clusterize"));
        }
        let replica = named_replica(cx.id(), client);
        let places = [(PLACED, FAR), (BOUND_THERE, BOUND)];
        let place = places.into_iter().find(|(prefix, _)| client.as_str().starts_with(prefix));
        Ok(place.map_or(replica, |(_, place)| replica.in_place(place)))
    }

    fn activate(group: GroupId, replica: ReplicaId) -> Result {
        if replica == named_replica(group, &ClientId::new(UNWAKEABLE)?) {
            return Err(Failure::new("the secret of activate"));
        }
        Ok(())
    }
}

/// The Replica that [`Named`] creates for `client`. Its name contains the Group, because a Replica belongs to one Group.
pub fn named_replica(group: GroupId, client: &ClientId) -> ReplicaId {
    let shared = [TOGETHER, UNWAKEABLE].into_iter().find(|prefix| client.as_str().starts_with(prefix));
    let name = shared.unwrap_or(client.as_str());
    ReplicaId::from_name(NamedReplicas::NAME, &format!("{group}/{name}"))
}

/// A Group of the class `C`.
pub struct Cluster<C> {
    /// Not stored: it is lost when the Group leaves memory.
    field: Cell<u64>,
    class: PhantomData<fn() -> C>,
}

impl<C: Class> Group for Cluster<C> {
    type Replica = Room<C>;
    const NAME: &'static str = C::NAME;
    const ACTIVATE_DEADLINE: Duration = C::ACTIVATE_DEADLINE;

    async fn activate(cx: &GroupContext) -> Result<Self> {
        C::waits(cx.id(), "Group::activate").await;
        Ok(Self { field: Cell::new(0), class: PhantomData })
    }

    fn limit(&self) -> Limit {
        C::LIMIT
    }

    fn policy(&self) -> Policy {
        C::policy()
    }

    async fn clusterize(&self, cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        C::waits(cx.id(), "clusterize").await;
        C::clusterize(cx, client)
    }

    /// Does what `?do=` says: fails, panics, runs the storage script in the body, or counts such requests in this life.
    /// Without `do` it returns the request.
    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        match dog::query_param(&request, "do").as_deref() {
            Some("fail") => Err(Failure::new("the secret of the Group")),
            Some("panic") => panic!("the secret of the Group"),
            Some("storage") => {
                let steps: Vec<StorageStep> = serde_json::from_slice(&request.into_body().bytes(1 << 20).await?)?;
                Ok(responses::json(StatusCode::OK, &storage_runner::run(cx, &steps).await?)?)
            }
            Some("storage_or_fail") => {
                let steps: Vec<StorageStep> = serde_json::from_slice(&request.into_body().bytes(1 << 20).await?)?;
                Ok(responses::json(StatusCode::OK, &storage_runner::run_or_fail(cx, &steps).await?)?)
            }
            Some("count") => {
                self.field.set(self.field.get() + 1);
                Ok(dog::text_response(StatusCode::OK, self.field.get().to_string()))
            }
            _ => responses::echo("group", request).await,
        }
    }
    async fn on_alarm(&self, cx: &GroupContext) -> Result {
        storage_runner::ring(cx).await
    }
}
