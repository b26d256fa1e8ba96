//! What the App does with topics in a run, and the checks of promise 20: a message for a topic reaches exactly the sockets
//! that are subscribed to it throughout.

use dog::{Context, Error, GroupId, Message, Replica, Result, Socket, To};

use crate::group_verbs;
use crate::moment::MessageName;
use crate::publications::logs_of_run::published;
use crate::publications::resuming::resume;
use crate::sent::Sent;
use crate::witness::Witness;

/// The topics of a run. They are few, so that sockets share them.
pub(crate) const TOPICS: &[&str] = &["a", "b", "c"];

/// The commands of clients that are about topics. [`obey`] runs them.
pub(crate) const VERBS: &[&str] = &["subscribe", "subscribe", "unsubscribe", "to", "to", "to-others", "emit-to"];

/// The command that resumes a topic with a log.
pub(crate) const RESUME: &str = "resume";

/// Whether [`obey`] runs this command.
pub(crate) fn is_verb(verb: &str) -> bool {
    verb == RESUME || VERBS.contains(&verb)
}

/// Runs one of the [`VERBS`] on a topic. The next message of the life has the name `name`.
pub(crate) async fn obey<R: Replica>(
    witness: &Witness,
    cx: &Context<R>,
    socket: &Socket,
    (verb, topic): (&str, &str),
    name: impl FnOnce() -> MessageName,
) -> Result {
    let send = |reach, except, send: &dyn Fn(Message) -> Result<(), Error>| {
        let sending = Sending { witness, name: name(), group: cx.group(), topic, except, reach };
        sending.send(send)
    };
    match verb {
        "subscribe" => subscribe(witness, cx, socket, topic).await,
        RESUME => resume(witness, cx, socket, topic).await,
        "unsubscribe" => unsubscribe(witness, socket, topic),
        "to" => send(Reach::Group, "-", &|message| cx.broadcast_to(topic, message))?,
        "to-others" => {
            let me = socket.client().as_str();
            send(Reach::Group, me, &|message| socket.broadcast_to(topic, message, To::Others))?;
        }
        _ => send(Reach::Replica, "-", &|message| cx.emit_to(topic, message))?,
    }
    Ok(())
}

/// Subscribes a socket. Sometimes its Group sends to the topic at once: then the socket must hear it.
async fn subscribe<R: Replica>(witness: &Witness, cx: &Context<R>, socket: &Socket, topic: &str) {
    let was_subscribed = witness.record().topics().subscribe_begins(socket.id(), topic);
    witness.record().logs().confirmations().subscribes(socket.id(), (cx.group(), topic));
    let subscribed = socket.subscribe(topic).await;
    let mut record = witness.record();
    let now = record.moment();
    record.topics().subscribe_ends(socket.id(), topic, was_subscribed || subscribed.is_ok(), now);
    if subscribed.is_ok() && !was_subscribed {
        record.is_subscribed(socket.id(), topic);
        record.logs().subscribed(socket.id(), cx.group(), published(topic));
    }
    let sends = record.random.happens(300);
    drop(record);
    if sends {
        group_verbs::broadcast_to(witness, &cx.dog().group_by_id::<R::Group>(cx.group()), None, topic);
    }
}

fn unsubscribe(witness: &Witness, socket: &Socket, topic: &str) {
    // A socket that has closed meanwhile has no topics.
    if socket.unsubscribe(topic).is_ok() {
        let mut record = witness.record();
        let now = record.moment();
        record.topics().unsubscribed(socket.id(), topic, now);
        record.logs().unsubscribed(socket.id(), Some(topic));
        record.presence().unsubscribed(socket.id(), topic);
        record.owed.retain(|(_, owed), message| *owed != socket.id() || message.topic.as_deref() != Some(topic));
    }
}

/// Whom a message reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Group,
    Replica,
}

/// A message for a topic.
#[derive(Debug)]
struct Sending<'a> {
    witness: &'a Witness,
    name: MessageName,
    group: GroupId,
    topic: &'a str,
    /// The client that it leaves out.
    except: &'a str,
    reach: Reach,
}

impl Sending<'_> {
    fn send(&self, send: &dyn Fn(Message) -> Result<(), Error>) -> Result<(), Error> {
        let Self { name, topic, except, .. } = self;
        self.is_owed();
        let sent = send(Message::text(format!("t {} {} {except} {topic}", name.0, name.1)));
        if sent.is_err() {
            self.witness.record().owed.retain(|(owed, _), _| owed != name);
        }
        sent
    }

    fn is_owed(&self) {
        let mut record = self.witness.record();
        let subscribed = record.topics().subscribers(self.topic);
        Sent::new(self.name, self.group).to_topic(self.topic).is_owed(&mut record, |socket, record, own| {
            subscribed.contains(&socket) && record.client != self.except && (own || self.reach == Reach::Group)
        });
    }
}
