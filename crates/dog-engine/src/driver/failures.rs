//! What happens to errors and panics of the user's code: they are counted and logged here, and nowhere else.

use std::any::Any;

use dog::http::StatusCode;
use dog::internal::Kind;
use dog::{Error, Failure, SocketId};

use crate::address::Object;
use crate::host::{Host, Occurrence};
use crate::repeats::log_limited;

/// A function of the user that returns errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserFunction {
    GroupActivate,
    GroupReceive,
    GroupOnAlarm,
    OnArrive,
    OnLeave,
    OnTopicArrive,
    OnTopicLeave,
    OnPresenceReset,
    OnCall,
    Clusterize,
    Activate,
    Receive,
    OnGossip,
    OnAlarm,
    OnOpen,
    OnMessage,
    OnClose,
    OnError,
    OnLost,
    OnPresence,
    AppFetch,
}

impl UserFunction {
    /// The function's name, and the kind under which its failures are counted for the log.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::GroupActivate => ("Group::activate", "Group::activate failed"),
            Self::GroupReceive => ("Group::receive", "Group::receive failed"),
            Self::GroupOnAlarm => ("Group::on_alarm", "Group::on_alarm failed"),
            Self::OnArrive => ("on_arrive", "on_arrive failed"),
            Self::OnLeave => ("on_leave", "on_leave failed"),
            Self::OnTopicArrive => ("on_topic_arrive", "on_topic_arrive failed"),
            Self::OnTopicLeave => ("on_topic_leave", "on_topic_leave failed"),
            Self::OnPresenceReset => ("on_presence_reset", "on_presence_reset failed"),
            Self::OnCall => ("on_call", "on_call failed"),
            Self::Clusterize => ("clusterize", "clusterize failed"),
            Self::Activate => ("activate", "activate failed"),
            Self::Receive => ("receive", "receive failed"),
            Self::OnGossip => ("on_gossip", "on_gossip failed"),
            Self::OnAlarm => ("on_alarm", "on_alarm failed"),
            Self::OnOpen => ("on_open", "on_open failed"),
            Self::OnMessage => ("on_message", "on_message failed"),
            Self::OnClose => ("on_close", "on_close failed"),
            Self::OnError => ("on_error", "on_error failed"),
            Self::OnLost => ("on_lost", "on_lost failed"),
            Self::OnPresence => ("on_presence", "on_presence failed"),
            Self::AppFetch => ("App::fetch", "App::fetch failed"),
        }
    }

    /// What follows from a failure.
    fn consequence(self) -> &'static str {
        match self {
            Self::GroupActivate | Self::Activate => ", so the object could not be woken",
            Self::GroupOnAlarm | Self::OnAlarm => ", and will be called again",
            Self::OnOpen | Self::OnMessage => ", so its socket is closed",
            Self::OnLost => ", so the sockets are closed",
            _ => "",
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.names().0
    }

    /// Whether its error answers a client, so that it can refuse with a status of its own.
    fn may_refuse(self) -> bool {
        matches!(self, Self::GroupReceive | Self::Clusterize | Self::Receive)
    }

    /// Whether it is the last handler of a socket.
    pub(super) fn ends_socket(self) -> bool {
        matches!(self, Self::OnClose | Self::OnError)
    }
}

/// Counts and logs an error that a function of the user has returned. A refusal of what a client has done is none.
pub(super) fn report_failure<H: Host>(
    host: &H,
    function: UserFunction,
    object: Option<Object>,
    socket: Option<SocketId>,
    failure: &Failure,
) {
    if function.may_refuse() && refusal(failure).is_some_and(|error| error.status().is_client_error()) {
        return;
    }
    let (handler, kind) = function.names();
    host.occurred(Occurrence::Failed { handler, cause: failure });
    if !host.may_log(kind) {
        return;
    }
    let (consequence, socket) = (function.consequence(), socket.map(tracing::field::debug));
    match object {
        Some(Object::Group(group)) => tracing::error!(%group, "{handler} failed{consequence}: {failure}"),
        Some(Object::Replica(replica)) => {
            tracing::error!(%replica, socket, "{handler} failed{consequence}: {failure}");
        }
        None => tracing::error!("{handler} failed{consequence}: {failure}"),
    }
}

/// Counts and logs a panic of the user's code. The life of the object ends with it.
pub(super) fn report_panic<H: Host>(host: &H, object: Option<Object>, text: &str) {
    host.occurred(Occurrence::Panicked(text));
    match object {
        Some(Object::Group(group)) => {
            log_limited!(host, error, "a Group panicked", %group, "a panic, so this life of the Group ends: {text}");
        }
        Some(Object::Replica(replica)) => {
            log_limited!(host, error, "a Replica panicked", %replica, "a panic, so this life of the Replica ends: {text}");
        }
        None => log_limited!(host, error, "App::fetch panicked", "App::fetch panicked: {text}"),
    }
}

/// The text of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".into())
}

/// The error that a caller gets for a failure of the user's code. It shows nothing of the inside, except for the kind of this
/// library's own errors, which decides the client's status code. A refusal is for the client.
pub(super) fn public_error(failure: &Failure) -> Error {
    match failure.downcast_ref::<Error>() {
        Some(error) if error.is_refused() || error.status() != StatusCode::INTERNAL_SERVER_ERROR => {
            Error::new(error.kind(), error.public_text())
        }
        _ => Error::new(Kind::Handler, "the handler failed"),
    }
}

/// The refusal that the user's code has written, if the failure is one.
fn refusal(failure: &Failure) -> Option<&Error> {
    failure.downcast_ref::<Error>().filter(|error| error.is_refused())
}
