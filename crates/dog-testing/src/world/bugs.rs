//! Bugs that can be planted, to show that the simulation finds them.

use std::fmt;
use std::str::FromStr;

/// A bug. It is one that the npm package `dog` had, or a missing fence between two lives of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// A restarted Group knows nothing of its Replicas.
    ForgottenBooks,
    /// The seat of a client that vanished is never released.
    LeakedSeat,
    /// A new Replica serves before its siblings know it.
    UnawaitedJoin,
    /// One dead Replica stops a broadcast to all.
    AllOrNothing,
    /// The last handler of a socket runs twice. Needs the feature `bugs`.
    DoubleClose,
    /// The storage accepts writes of a life after a later life has begun.
    UnfencedWrite,
    /// Nodes accept messages and requests from a node whose lease is over.
    UnfencedMessage,
    /// A node does not check its lease: its objects go on acting after the lease has ended.
    UncheckedLease,
    /// A Group counts the report of an earlier life of a Replica as one of its current life.
    UnfencedReport,
    /// A Replica takes the view of an earlier life of its Group for the newest.
    UnfencedView,
    /// A task goes on after its object's life has ended. Needs the feature `bugs`.
    OutlivingTask,
    /// A Replica that hibernates forgets the topics of its sockets. Needs the feature `bugs`.
    ForgottenTopics,
    /// `assign` ends before the Group has acknowledged it. Needs the feature `bugs`.
    UnawaitedAssignment,
    /// What the client of an event stream says is handled twice. Needs the feature `bugs`.
    DoubledHand,
    /// A typed call is sent twice. Needs the feature `bugs`.
    RepeatedCall,
    /// A Replica leaves one socket open of a client that it disconnects. Needs the feature `bugs`.
    SparedSocket,
    /// What a Group sends is not sent to the youngest of its members. Needs the feature `bugs`.
    UntoldMember,
    /// A Group counts one socket too few. Needs the feature `bugs`.
    MissedSocket,
    /// A page of the clients of a Group leaves one out. Needs the feature `bugs`.
    SkippedClient,
    /// What a Group returns does not name the Replicas that have not answered. Needs the feature `bugs`.
    UnnamedReplica,
    /// A Replica that is closed to newcomers gives them seats. Needs the feature `bugs`.
    IgnoredClosing,
    /// A client gets more seats than one client may have. Needs the feature `bugs`.
    LimitlessClient,
    /// A ticket that a closed Replica has refused stays reserved. Needs the feature `bugs`.
    KeptTicket,
    /// `subscribe` ends before the Group knows the topic. Needs the feature `bugs`.
    UnawaitedSubscription,
    /// A Replica does not notice that publications are missing. Needs the feature `bugs`.
    UnnoticedGap,
    /// A Group does not repeat where its logs end. Needs the feature `bugs`.
    UnrepeatedHead,
    /// The clients of a Replica whose node is lost never leave the presence. Needs the feature `bugs`.
    LostLeave,
    /// Each life of a Group begins a new presence. Needs the feature `bugs`.
    RestartedPresence,
    /// A client never leaves a topic if its socket unsubscribes and stays open. Needs the feature `bugs`.
    LostTopicLeave,
    /// An offset is given twice after a write that has failed. Needs the feature `bugs`.
    OffsetTwice,
    /// A publication is seen before it is durable. Needs the feature `bugs`.
    SeenBeforeDurable,
    /// A log in memory that is purged goes on. Needs the feature `bugs`.
    ForgottenPurge,
    /// One socket that has taken a confirmed publication is not counted. Needs the feature `bugs`.
    UncountedSocket,
    /// A socket for which publications wait misses the first of them. Needs the feature `bugs`.
    GateThatDrops,
}

impl Bug {
    /// All bugs.
    pub const ALL: [Self; 34] = [
        Self::ForgottenBooks,
        Self::LeakedSeat,
        Self::UnawaitedJoin,
        Self::AllOrNothing,
        Self::DoubleClose,
        Self::UnfencedWrite,
        Self::UnfencedMessage,
        Self::UncheckedLease,
        Self::UnfencedReport,
        Self::UnfencedView,
        Self::OutlivingTask,
        Self::ForgottenTopics,
        Self::UnawaitedAssignment,
        Self::DoubledHand,
        Self::RepeatedCall,
        Self::SparedSocket,
        Self::UntoldMember,
        Self::MissedSocket,
        Self::SkippedClient,
        Self::UnnamedReplica,
        Self::IgnoredClosing,
        Self::LimitlessClient,
        Self::KeptTicket,
        Self::UnawaitedSubscription,
        Self::UnnoticedGap,
        Self::UnrepeatedHead,
        Self::LostLeave,
        Self::RestartedPresence,
        Self::LostTopicLeave,
        Self::OffsetTwice,
        Self::SeenBeforeDurable,
        Self::ForgottenPurge,
        Self::UncountedSocket,
        Self::GateThatDrops,
    ];

    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForgottenBooks => "forgotten-books",
            Self::LeakedSeat => "leaked-seat",
            Self::UnawaitedJoin => "unawaited-join",
            Self::AllOrNothing => "all-or-nothing",
            Self::DoubleClose => "double-close",
            Self::UnfencedWrite => "unfenced-write",
            Self::UnfencedMessage => "unfenced-message",
            Self::UncheckedLease => "unchecked-lease",
            Self::UnfencedReport => "unfenced-report",
            Self::UnfencedView => "unfenced-view",
            Self::OutlivingTask => "outliving-task",
            Self::ForgottenTopics => "forgotten-topics",
            Self::UnawaitedAssignment => "unawaited-assignment",
            Self::DoubledHand => "doubled-hand",
            Self::RepeatedCall => "repeated-call",
            Self::SparedSocket => "spared-socket",
            Self::UntoldMember => "untold-member",
            Self::MissedSocket => "missed-socket",
            Self::SkippedClient => "skipped-client",
            Self::UnnamedReplica => "unnamed-replica",
            Self::IgnoredClosing => "ignored-closing",
            Self::LimitlessClient => "limitless-client",
            Self::KeptTicket => "kept-ticket",
            Self::UnawaitedSubscription => "unawaited-subscription",
            Self::UnnoticedGap => "unnoticed-gap",
            Self::UnrepeatedHead => "unrepeated-head",
            Self::LostLeave => "lost-leave",
            Self::RestartedPresence => "restarted-presence",
            Self::LostTopicLeave => "lost-topic-leave",
            Self::OffsetTwice => "offset-twice",
            Self::SeenBeforeDurable => "seen-before-durable",
            Self::ForgottenPurge => "forgotten-purge",
            Self::UncountedSocket => "uncounted-socket",
            Self::GateThatDrops => "gate-that-drops",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|bug| bug.name() == name);
        found.ok_or_else(|| format!("there is no bug `{name}`; there are: {}", Self::ALL.map(Self::name).join(", ")))
    }
}
