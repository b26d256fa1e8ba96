//! What differs between the Groups of the test App: limit, times and names.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dog::{
    ClientId, CloseCode, Failure, GroupContext, GroupId, Limit, Log, MessageRate, OverRate, Placement, Policy,
    Presence, ROOM, ReplicaId, Result,
};

use super::protocol::{
    BOUND, BOUND_THERE, CUT_OFF, DELAYED, DROPPED, FAR, HELD, LOGGED, PLACED, SHORT, TOGETHER, UNPLACEABLE, UNWAKEABLE,
};

/// What differs between the classes of Groups.
pub trait TestClass: 'static {
    /// [`dog::Group::NAME`]
    const NAME: &'static str;

    /// [`dog::Group::limit`]
    const LIMIT: Limit;

    /// [`dog::Group::policy`]
    fn policy() -> Policy {
        patient()
    }

    /// [`dog::Group::ACTIVATE_DEADLINE`]
    const ACTIVATE_DEADLINE: Duration = Duration::from_secs(30);

    /// What the logs of the room and of [`LOGGED`] topics are.
    const LOG: Log = Log::memory();
    /// [`dog::Replica::FOLLOWS_PRESENCE`]
    const FOLLOWS_PRESENCE: bool = false;
    /// [`dog::Replica::RENDERS`]
    const RENDERS: bool = false;

    /// Waits, if the class makes this function wait.
    fn waits(group: GroupId, function: &'static str) -> impl Future<Output = ()> {
        let _ = (group, function);
        async {}
    }

    /// [`dog::Group::clusterize`]
    ///
    /// # Errors
    /// If the class makes it fail.
    fn clusterize(cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        let _ = client;
        Ok(cx.unique_replica())
    }

    /// [`dog::Replica::message_rate`]
    fn message_rate(group: GroupId, replica: ReplicaId) -> Option<MessageRate> {
        let _ = (group, replica);
        None
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

/// A member or a call that is slow because the machine is busy must not count as gone, and a ticket must live longer than a scenario
/// waits for a seat to be released.
fn patient() -> Policy {
    Policy {
        join_deadline: Duration::from_secs(20),
        ticket_lifetime: Duration::from_secs(60),
        call_deadline: Duration::from_secs(20),
        ..Policy::default()
    }
}

/// See [`Single`](super::Single).
pub enum OneSeat {}
impl TestClass for OneSeat {
    const NAME: &'static str = "single";
    const LIMIT: Limit = Limit::new(1);
}

/// See [`Pair`](super::Pair).
pub enum TwoSeats {}
impl TestClass for TwoSeats {
    const NAME: &'static str = "pair";
    const LIMIT: Limit = Limit::new(2);
}

/// See [`Octet`](super::Octet).
pub enum EightSeats {}
impl TestClass for EightSeats {
    const NAME: &'static str = "octet";
    const LIMIT: Limit = Limit::new(8);
}

/// See [`Hall`](super::Hall).
pub enum FiftySeats {}
impl TestClass for FiftySeats {
    const NAME: &'static str = "hall";
    const LIMIT: Limit = Limit::new(50);
}

/// See [`Match`](super::Match).
pub enum FillsFirst {}
impl FillsFirst {
    /// How many seats one client may have.
    pub const PER_CLIENT: u32 = 3;
    /// The size of a message of which three may come at once where there is a rate. The fourth one would have to wait for longer than
    /// any scenario waits, except with [`DELAYED`].
    pub const MESSAGE: usize = 30_000;

    fn paced(group: GroupId, client: &str) -> ReplicaId {
        ReplicaId::from_name(Self::NAME, &format!("{group}/{client}"))
    }
}
impl TestClass for FillsFirst {
    const NAME: &'static str = "match";
    const LIMIT: Limit = Limit::new(4);
    const LOG: Log = Log::durable().publications(100);
    const RENDERS: bool = true;

    fn policy() -> Policy {
        Policy { placement: Placement::FillFirst, max_seats_per_client: Some(Self::PER_CLIENT), ..patient() }
    }

    fn clusterize(cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        let is_paced = [DELAYED, HELD, DROPPED, CUT_OFF].contains(&client.as_str());
        Ok(if is_paced { Self::paced(cx.id(), client.as_str()) } else { cx.unique_replica() })
    }

    fn message_rate(group: GroupId, replica: ReplicaId) -> Option<MessageRate> {
        const ANY: MessageRate = MessageRate::per_second(1_000_000);
        const SLOW: MessageRate = ANY.bytes(1).burst(Duration::from_secs(100_000));
        let rates = [
            (DELAYED, ANY.bytes(100_000)),
            (HELD, SLOW),
            (DROPPED, SLOW.over(OverRate::Drop)),
            (CUT_OFF, SLOW.over(OverRate::Close)),
        ];
        rates.into_iter().find_map(|(client, rate)| (replica == Self::paced(group, client)).then_some(rate))
    }
}

/// See [`Brief`](super::Brief).
pub enum ShortTimes {}
impl ShortTimes {
    /// How long clients are remembered, and how long Replicas are empty before they are parked.
    pub const SPAN: Duration = Duration::from_secs(1);
    /// The lifetime of tickets. Every client has to come within it, also on a busy machine.
    pub const TICKET: Duration = Duration::from_secs(3);
    /// The close code of a socket that is not assigned in time, which is that of a ticket.
    pub const UNASSIGNED: u16 = 4001;
}
impl TestClass for ShortTimes {
    const NAME: &'static str = "brief";
    const LIMIT: Limit = Limit::new(8);

    fn policy() -> Policy {
        Policy {
            ticket_lifetime: Self::TICKET,
            sticky_for: Self::SPAN,
            park_after: Self::SPAN,
            call_deadline: Self::SPAN,
            assign_deadline: Self::TICKET,
            unassigned_code: CloseCode::from_raw(Self::UNASSIGNED),
            ..patient()
        }
    }
}

/// See [`Slow`](super::Slow).
pub enum SlowToBegin {}
impl TestClass for SlowToBegin {
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

/// See [`Named`](super::Named).
pub enum NamedReplicas {}
impl TestClass for NamedReplicas {
    const NAME: &'static str = "named";
    const LIMIT: Limit = Limit::new(2);
    const FOLLOWS_PRESENCE: bool = true;

    /// A client has 10 s for a reload, also on a busy machine.
    fn policy() -> Policy {
        Policy { presence: Some(Presence::default().grace(Duration::from_secs(10))), ..patient() }
    }

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

/// The Replica that [`Named`](super::Named) creates for `client`. Its name contains the Group, because a Replica belongs to one Group.
pub fn named_replica(group: GroupId, client: &ClientId) -> ReplicaId {
    let shared = [TOGETHER, UNWAKEABLE].into_iter().find(|prefix| client.as_str().starts_with(prefix));
    let name = shared.unwrap_or(client.as_str());
    ReplicaId::from_name(NamedReplicas::NAME, &format!("{group}/{name}"))
}

/// [`dog::Group::log`]
pub(super) fn log_of<C: TestClass>(topic: &str) -> Log {
    match topic {
        ROOM => C::LOG,
        topic if topic.starts_with(LOGGED) => C::LOG,
        topic if topic.starts_with(SHORT) => C::LOG.publications(3),
        _ => Log::none(),
    }
}
