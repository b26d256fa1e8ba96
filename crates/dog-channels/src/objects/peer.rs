//! One connection, as the handlers of its Replica see it: [`Peer`].

use std::rc::Rc;

use dog::{CloseCode, Context, Error, Replica, Socket};

use crate::channels::Refused;
use crate::link::{Due, Link};
use crate::protocol::{Disconnect, DisconnectPush, Join, Leave, Push, ServerReply, Unsubscribed};
use crate::render;
use crate::session::{ClientSession, State};
use crate::topics::{self, CODECS};

/// What is in memory of a connection. The session is also attached to the socket.
#[derive(Default)]
struct Live {
    session: Option<Rc<ClientSession>>,
    link: Link,
}

/// One connection.
pub(super) struct Peer<'a, R: Replica> {
    pub(super) cx: &'a Context<R>,
    pub(super) socket: &'a Socket,
}

impl<'a, R: Replica> Peer<'a, R> {
    pub(super) fn new(cx: &'a Context<R>, socket: &'a Socket) -> Self {
        Self { cx, socket }
    }

    /// What is known of it now.
    pub(super) fn session(&self) -> Result<Rc<ClientSession>, Error> {
        session(self.socket)
    }

    /// Changes what is known of it.
    pub(super) fn change(&self, change: impl FnOnce(&mut ClientSession)) -> Result<(), Error> {
        let mut session = (*self.session()?).clone();
        change(&mut session);
        self.socket.set_attachment(&session)?;
        self.socket.state::<Live>()?.borrow_mut().session = Some(Rc::new(session));
        Ok(())
    }

    /// Answers a command.
    pub(super) fn reply(&self, id: u32, reply: ServerReply) {
        // What was sent to be not answered is not, whatever has happened.
        if id > 0 {
            self.send(ServerReply { id, ..reply });
        }
    }

    /// Tells the client something unasked.
    pub(super) fn push(&self, push: Push) {
        self.send(ServerReply { push: Some(Box::new(push)), ..ServerReply::default() });
    }

    /// Sends. A socket that has closed needs nothing any more.
    fn send(&self, reply: ServerReply) {
        let Ok(session) = self.session() else { return };
        match render::message(session.codec, reply) {
            Ok(message) => drop(self.socket.send(message)),
            Err(_) => self.close(&Disconnect::INAPPROPRIATE_PROTOCOL),
        }
    }

    pub(super) fn close(&self, disconnect: &Disconnect) {
        let code = CloseCode::new(disconnect.code()).unwrap_or(CloseCode::POLICY);
        self.close_with(code, disconnect.reason(), disconnect.comes_back());
    }

    /// Ends the connection. The client of a stream sees no code of a close, so it is told before.
    pub(super) fn close_with(&self, code: CloseCode, reason: &str, reconnect: bool) {
        if self.socket.session().is_some() {
            let disconnect = DisconnectPush { code: code.as_u16().into(), reason: reason.to_owned(), reconnect };
            self.push(Push { disconnect: Some(disconnect), ..Push::default() });
        }
        self.socket.close(code, reason);
    }

    /// The client has answered a ping.
    pub(super) fn answered(&self) -> Result<(), Refused> {
        Ok(self.socket.state::<Live>()?.borrow_mut().link.answered()?)
    }

    /// Does what is due with time.
    pub(super) fn tick(&self) -> Result<(), Error> {
        let (session, now) = (self.session()?, self.cx.now());
        let due = self.socket.state::<Live>()?.borrow_mut().link.due(&session, now);
        match due {
            Due::Nothing => {}
            Due::Ping => self.send(ServerReply::default()),
            Due::Close(disconnect) => self.close(&disconnect),
        }
        for channel in crate::link::expired(&session, now) {
            self.end(&channel, Unsubscribed::EXPIRED, &Disconnect::SUBSCRIPTION_EXPIRED);
        }
        Ok(())
    }

    /// Ends a subscription for a reason that the client is told. If the server has made it, the client cannot make it again alone,
    /// so it has to come back.
    pub(super) fn end(&self, channel: &str, reason: Unsubscribed, disconnect: &Disconnect) {
        let Ok(session) = self.session() else { return };
        let Some(membership) = session.channels.get(channel) else { return };
        if membership.is_of_server && reason.comes_back() {
            self.close(disconnect);
            return;
        }
        if self.leave(channel) {
            let channel = channel.to_owned();
            self.push(Push { channel, unsubscribe: Some(reason.into()), ..Push::default() });
        }
    }

    /// Ends a subscription. Returns whether there was one.
    pub(super) fn leave(&self, channel: &str) -> bool {
        let Ok(session) = self.session() else { return false };
        if !session.is_subscribed(channel) {
            return false;
        }
        self.hush(&session, channel);
        let left = self.change(|session| drop(session.channels.remove(channel)));
        if left.is_ok() {
            self.announce_leave(&session, channel);
        }
        left.is_ok()
    }

    /// Has the socket get nothing more of a channel.
    pub(super) fn hush(&self, session: &ClientSession, channel: &str) {
        for topic in [topics::publications(session.codec, channel), topics::joins(session.codec, channel)] {
            // It fails only if the socket has closed, which ends its subscriptions.
            drop(self.socket.unsubscribe(&topic));
        }
    }

    /// Tells others that it has subscribed.
    pub(super) fn announce_join(&self, session: &ClientSession, channel: &str) {
        let join = Join { info: Some(session.seen(channel)) };
        self.announce(session, channel, &Push { join: Some(join), ..Push::default() });
    }

    /// Tells others that it has ended its subscription.
    pub(super) fn announce_leave(&self, session: &ClientSession, channel: &str) {
        let leave = Leave { info: Some(session.seen(channel)) };
        self.announce(session, channel, &Push { leave: Some(leave), ..Push::default() });
    }

    fn announce(&self, session: &ClientSession, channel: &str, push: &Push) {
        if !session.channels.get(channel).is_some_and(|membership| membership.is_announced) {
            return;
        }
        for codec in CODECS {
            let push = Push { channel: channel.to_owned(), ..push.clone() };
            // Those who speak JSON are not told of somebody whose description is not JSON.
            if let Ok(message) = render::push(codec, push) {
                drop(self.cx.broadcast_to(&topics::joins(codec, channel), message));
            }
        }
    }
}

/// What is known of the connection of a socket.
pub(super) fn session(socket: &Socket) -> Result<Rc<ClientSession>, Error> {
    let live = socket.state::<Live>()?;
    if let Some(session) = &live.borrow().session {
        return Ok(Rc::clone(session));
    }
    let session = socket.attachment()?.unwrap_or_else(|| ClientSession::new(crate::protocol::Codec::Json));
    let session = Rc::new(session);
    live.borrow_mut().session = Some(Rc::clone(&session));
    Ok(session)
}

/// The connections of a Replica that have said who they are.
pub(super) fn connected<R: Replica>(cx: &Context<R>) -> impl Iterator<Item = (Socket, Rc<ClientSession>)> {
    let sessions = cx.sockets().filter_map(|socket| Some((session(&socket).ok()?, socket)));
    sessions.filter(|(session, _)| session.state == State::Connected).map(|(session, socket)| (socket, session))
}
