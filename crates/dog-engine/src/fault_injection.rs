//! Faults of the engine that the simulation can plant, to prove that it finds them. No host can plant one: without the feature
//! `fault-injection` there are none.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The last handler of every socket runs twice.
    SocketEndsTwice,
    /// Tasks of the user's code go on after their object's life has ended.
    TasksOutliveLives,
    /// A Replica that hibernates forgets the topics of its sockets.
    TopicsAreForgotten,
    /// `assign` ends before the Group has acknowledged it.
    AssignmentIsNotAwaited,
    /// What the client of an event stream says is handled twice.
    HandedTwice,
    /// A typed call is sent twice.
    CallsAreRepeated,
    /// A Replica leaves one socket open of a client that it disconnects.
    DisconnectSparesOne,
    /// What a Group sends is not sent to the youngest of its members.
    YoungestIsNotTold,
    /// A Group counts one socket too few.
    CountMissesOne,
    /// Each page of clients but the first leaves out the client that it begins with.
    PageSkipsOne,
    /// What a Group returns names no Replica that has not answered.
    SilenceIsNotNamed,
    /// A Replica that is closed to newcomers gives them seats.
    ClosingIsIgnored,
    /// A Group gives a client more seats than one client may have.
    ClientHasNoLimit,
    /// A ticket that a closed Replica has refused is not given back.
    RefusedTicketIsKept,
    /// `subscribe` ends before the Group knows that the topic has subscribers there.
    SubscriptionIsNotAwaited,
    /// A Replica gives its sockets a publication although those before it are missing.
    GapIsNotNoticed,
    /// A Group does not repeat where its logs end.
    HeadIsNotRepeated,
    /// After a write of a log has failed, its end is not read again: the next publication gets the same offset.
    OffsetIsGivenTwice,
    /// A publication is sent while its write is under way.
    SeenBeforeStored,
    /// A purge of a log in memory is answered, and the log goes on.
    PurgeIsForgotten,
    /// One socket that has taken a confirmed publication is not counted.
    ConfirmationMissesOne,
    /// A socket for which publications wait misses the first of them.
    GateDropsOne,
    /// A Group does not notice that connections have ended with the life of their Replica, when the next life counts its own.
    LeaveIsLost,
    /// A life of a Group begins a new presence, whatever its Replicas know.
    PresenceStartsOver,
    /// A Group does not notice that a connection that stays open is not subscribed to a topic any more.
    TopicLeaveIsLost,
}

#[cfg(feature = "fault-injection")]
mod planted {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Plants a fault on this thread, in place of the one before.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    pub(crate) fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}

#[cfg(feature = "fault-injection")]
pub(crate) use planted::is_planted;
#[cfg(feature = "fault-injection")]
pub use planted::plant;

#[cfg(not(feature = "fault-injection"))]
pub(crate) const fn is_planted(_: Fault) -> bool {
    false
}
