//! The objects of a server of channels: the Group numbers publications ([`ChannelGroup`]), its Replicas hold the connections
//! ([`ChannelReplica`]).
//!
//! - `entrance`: how a request becomes a connection
//! - `peer`: one connection, as handlers see it; `commands`: what its client asks; `subscribing`: how it is subscribed
//! - `asked`: what the App asks all Replicas; `ticker`: what is due with time

mod asked;
mod commands;
mod entrance;
mod peer;
mod subscribing;
mod ticker;

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use dog::{
    Close, CloseCode, Context, Group, GroupContext, Limit, Log, Message, Policy, Replica, Request, Response, Socket,
    Unrecovered,
};

use crate::channels::{Channels, Refused};
use crate::messages::{ChannelAsk, ChannelCall, ChannelReply, ChannelTell, Published};
use crate::numbering::Numbering;
use crate::protocol::{ClientCommand, Disconnect, ErrorCode, ServerReply, Unsubscribed};
use crate::session::{Admitted, State};
use crate::topics;
use commands::Commands;
use peer::Peer;

/// The Group of a server of channels. All clients of a server are in one.
pub struct ChannelGroup<C> {
    app: C,
    numbering: Numbering,
}

impl<C: Channels> Group for ChannelGroup<C> {
    type Replica = ChannelReplica<C>;
    type Call = ChannelCall;
    type Reply = ChannelReply;
    const NAME: &'static str = C::NAME;

    async fn activate(cx: &GroupContext) -> dog::Result<Self> {
        Ok(Self { app: C::activate(cx.env())?, numbering: Numbering::default() })
    }

    fn limit(&self) -> Limit {
        self.app.limit()
    }

    fn policy(&self) -> Policy {
        let stale = CloseCode::new(Disconnect::STALE.code()).unwrap_or(CloseCode::POLICY);
        Policy { unassigned_code: stale, ..Policy::default() }
    }

    fn log(&self, topic: &str) -> Log {
        let options = topics::channel(topic).and_then(|channel| self.app.options(channel));
        options.map_or(Log::none(), |options| options.log)
    }

    async fn on_call(&self, cx: &GroupContext, call: ChannelCall) -> dog::Result<ChannelReply> {
        Ok(match call {
            ChannelCall::Publish(new) => self.numbering.publish(cx, &new).await,
            ChannelCall::RemoveHistory(channel) => {
                self.numbering.reset(cx, &channel).await.map(|()| Published::default())
            }
        })
    }
}

/// A Replica of a server of channels.
pub struct ChannelReplica<C> {
    app: C,
    is_ticking: Rc<Cell<bool>>,
}

impl<C: Channels> Replica for ChannelReplica<C> {
    type Group = ChannelGroup<C>;
    type Gossip = ChannelAsk;
    type Answer = ChannelTell;

    async fn activate(cx: &Context<Self>) -> dog::Result<Self> {
        let replica = Self { app: C::activate(cx.env())?, is_ticking: Rc::default() };
        if cx.sockets().next().is_some() {
            ticker::start(cx, &replica.is_ticking)?;
        }
        Ok(replica)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> dog::Result<Response> {
        entrance::enter(cx, request).await
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> dog::Result {
        ticker::start(cx, &self.is_ticking)?;
        // What was generated is unique in the Group. What it begins with is not for people.
        let client = socket.client().as_str().trim_start_matches(|letter: char| !letter.is_alphanumeric()).to_owned();
        let (peer, mut first) = (Peer::new(cx, socket), Bytes::new());
        peer.change(|session| {
            session.client = client;
            first = std::mem::take(&mut session.first);
        })?;
        // The client of a stream has said it with its request.
        if first.is_empty() { Ok(()) } else { self.hear(&peer, &first).await }
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> dog::Result {
        self.hear(&Peer::new(cx, socket), message.as_bytes()).await
    }

    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, _: &Close) -> dog::Result {
        let peer = Peer::new(cx, socket);
        let session = peer.session()?;
        session.channels.keys().for_each(|channel| peer.announce_leave(&session, channel));
        Ok(())
    }

    /// Clients that have missed publications subscribe again, from where they are.
    async fn on_lost(&self, cx: &Context<Self>, topic: &str, _: Unrecovered, sockets: &[Socket]) -> dog::Result {
        let Some(channel) = topics::channel(topic) else { return Ok(()) };
        for socket in sockets {
            Peer::new(cx, socket).end(channel, Unsubscribed::INSUFFICIENT_STATE, &Disconnect::INSUFFICIENT_STATE);
        }
        Ok(())
    }

    async fn on_gossip(&self, cx: &Context<Self>, ask: ChannelAsk) -> dog::Result<ChannelTell> {
        Ok(asked::asked(&self.app, cx, ask).await)
    }
}

impl<C: Channels> ChannelReplica<C> {
    /// Handles the commands of one frame, one after the other.
    async fn hear(&self, peer: &Peer<'_, Self>, frame: &[u8]) -> dog::Result {
        let Ok(commands) = peer.session()?.codec.commands(frame) else {
            peer.close(&Disconnect::BAD_REQUEST);
            return Ok(());
        };
        for command in commands {
            let id = command.id;
            match self.handle(peer, command).await {
                Ok(Some(reply)) => peer.reply(id, reply),
                Ok(None) => {}
                Err(Refused::Error(error)) => peer.reply(id, failed(error)),
                Err(Refused::Disconnect(disconnect)) => {
                    peer.close(&disconnect);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Handles one command. The reply is missing if there is none, or if it was sent.
    async fn handle(&self, peer: &Peer<'_, Self>, command: ClientCommand) -> Result<Option<ServerReply>, Refused> {
        let begins = command.connect.is_some();
        match peer.session()?.admit(&command)? {
            Admitted::Pong => peer.answered().map(|()| None),
            Admitted::Request => {
                let outcome = Commands::new(&self.app, peer).run(command).await;
                if begins && matches!(outcome, Err(Refused::Error(_))) {
                    peer.change(|session| session.state = State::Refused)?;
                }
                outcome
            }
        }
    }
}

fn failed(error: ErrorCode) -> ServerReply {
    ServerReply { error: Some(error.into()), ..ServerReply::default() }
}
