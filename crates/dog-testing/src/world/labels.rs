//! The names of messages between objects in a trace.

use dog::internal::{GroupVerb, LogVerb};
use dog_engine::address::Ticket;
use dog_engine::message::{GroupCall, GroupCast, PresenceCall, ReplicaCall};

pub(super) fn ticket(ticket: &Ticket) -> String {
    format!("ticket {}.{}", ticket.id.epoch.as_u64(), ticket.id.number)
}

pub(super) fn group_call(call: &GroupCall) -> String {
    match call {
        GroupCall::Identify { client, .. } => format!("Identify {client}"),
        GroupCall::Locate { client } => format!("Locate {client}"),
        GroupCall::Parked => "Parked".into(),
        GroupCall::Call { call, .. } => format!("Call, {} bytes", call.len()),
        GroupCall::Verb(verb) => match verb {
            GroupVerb::Broadcast(_) => "Broadcast of the Group, confirmed".into(),
            GroupVerb::Whisper { client, .. } => format!("Whisper of the Group to {client}"),
            GroupVerb::Disconnect { client, .. } => format!("Disconnect {client}"),
            GroupVerb::Clients { .. } => "Clients".into(),
            GroupVerb::Count => "Count".into(),
            GroupVerb::Presence { limit, topic, .. } => format!("Presence of {topic:?}, {limit} at most"),
            GroupVerb::PresenceCounts { topic, .. } => format!("Counts of the presence of {topic:?}"),
            GroupVerb::Hand { session, .. } => format!("{session:?} hands over a message"),
            GroupVerb::Gossip(_) => "Gossip of the Group".into(),
        },
        GroupCall::Interest(report) => {
            let (sequence, epoch, topics) = (report.sequence, report.epoch.as_u64(), report.topics.len());
            format!("Interest {sequence} of life {epoch}: {topics} topics")
        }
        GroupCall::Log { verb: LogVerb::Publish { topic, publication }, .. } => {
            format!("Publish {} bytes to {topic}", publication.size())
        }
        GroupCall::Log { verb: LogVerb::PublishConfirmed { topic, publication }, .. } => {
            format!("Publish {} bytes to {topic}, confirmed", publication.size())
        }
        GroupCall::Log { verb: LogVerb::Reset { topic }, .. } => format!("Reset the log of {topic}"),
        GroupCall::Log { verb: LogVerb::Purge { topic }, .. } => format!("Purge the log of {topic}"),
        GroupCall::Log { verb: LogVerb::History { topic, limit, .. }, .. } => {
            format!("History of {topic}, {limit} at most")
        }
        GroupCall::Missed(call) => format!("Missed of {} since {}", call.topic, call.since),
        GroupCall::Presence(_, PresenceCall::Report(report)) => {
            let (sequence, epoch, changes) = (report.sequence, report.epoch.as_u64(), report.connections.len());
            format!("Report {sequence} of {changes} connections of life {epoch}")
        }
        GroupCall::Presence(_, PresenceCall::Question(question)) => format!("Presence: {question:?}"),
        GroupCall::Tail(call) => format!("Tail of {}", call.topic),
        GroupCall::Enroll(census) => format!("Enroll in life {}", census.epoch.as_u64()),
    }
}

pub(super) fn group_cast(cast: &GroupCast) -> String {
    match cast {
        GroupCast::Report(report) => {
            format!("Report {} of life {}: {} seats", report.sequence, report.epoch.as_u64(), report.occupied)
        }
        GroupCast::Release(released) => format!("Release {}", ticket(released)),
        GroupCast::Farewell { epoch, .. } => format!("Farewell of life {}", epoch.as_u64()),
        GroupCast::AcknowledgePresence(_, acknowledged) => format!("Acknowledge presence {:?}", acknowledged.version),
        GroupCast::AcknowledgeLog(acknowledged) => format!("Acknowledge {} logs", acknowledged.positions.len()),
        GroupCast::Broadcast(_) => "Broadcast of the Group".into(),
        GroupCast::BroadcastTo { topic, .. } => format!("Broadcast of the Group to {topic:?}"),
    }
}

pub(super) fn replica_call(call: &ReplicaCall) -> String {
    match call {
        ReplicaCall::Join(enrolment) => format!("Join, {} members", enrolment.view.members.len()),
        ReplicaCall::UpdateView(view) => format!("UpdateView, {} members", view.members.len()),
        ReplicaCall::Census(enrolment) => format!("Census, {} members", enrolment.view.members.len()),
        ReplicaCall::Deliver(_) => "Deliver, confirmed".into(),
        ReplicaCall::Publication(delivery) => {
            format!("Publication {} of {}, confirmed", delivery.publication.offset, delivery.topic)
        }
        ReplicaCall::Whisper { client, .. } => format!("Whisper to {client}"),
        ReplicaCall::Gossip(_) => "Gossip".into(),
        ReplicaCall::Hand { .. } => "Hand".into(),
        ReplicaCall::CountSeats => "CountSeats".into(),
        ReplicaCall::Roster(_, question) => format!("Roster for life {}", question.life.as_u64()),
        ReplicaCall::Disconnect { client, .. } => format!("Disconnect {client}"),
    }
}
