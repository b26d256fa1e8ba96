//! For `durable-object-groups-engine` and the hosts only: what they need beyond the public API to run an App. Code of an App
//! has no use for it, and it may change in any release.

pub use crate::alarm::NewAlarm;
pub use crate::app::CloseAtOnce;
pub use crate::call::encode_call;
pub use crate::close::SocketErrorKind;
pub use crate::codec::{decode, encode};
pub use crate::error::Kind;
pub use crate::except::Except;
pub use crate::features::{Alarms, Logs, Presences, Storage, Streams, Topics};
pub use crate::group_names::{are_among, are_distinct};
pub use crate::groups::GroupVisitor;
pub use crate::list::TransactionRead;
pub use crate::log::publication::{
    HistoryPage, LogTopic, MAX_HISTORY_PAGE, NewPublication, Publication, PublicationReport,
};
pub use crate::log::verbs::{LogVerb, LogVerbAnswer};
pub use crate::log::{
    HistoryOrder, LogBounds, MAX_LOG_RECORD, MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY, ROOM, Unrecovered,
    log_records, write_log_record,
};
pub use crate::message::MessageBuffer;
pub use crate::placement::Door;
pub use crate::port::{
    AppPort, GroupPort, LocalFuture, LogRecords, LogReservation, ObjectPort, Opening, ReplicaPort, SeatPort,
    StoragePort, TransactionTurn,
};
pub use crate::position::{LogEpoch, Position, Recovered};
pub use crate::presence::{
    ConnectionId, MAX_PRESENCE_PAGE, MAX_PRESENCE_TOPICS, MAX_PRESENCE_TOPICS_OF_SOCKET, MAX_PRESENCE_VALUE, Presence,
    PresenceChange, PresenceCounts, PresenceCursor, PresenceNews, PresencePage, PresenceVersion, PresentClient,
    PresentConnection, TopicChange,
};
pub use crate::replies::GossipAnswers;
pub use crate::request::{Identity, PeerAddress};
pub use crate::session::Session;
pub use crate::stream_format::StreamFormat;
pub use crate::topic::{MAX_TOPIC, MAX_TOPIC_BYTES, MAX_TOPICS, Topic};
pub use crate::verbs::{GroupVerb, VerbAnswer};
pub use crate::writes::StorageWrites;
