//! The objects of a server of channels: the Group numbers publications ([`ChannelGroup`]), its Replicas hold the connections
//! ([`ChannelReplica`]).
//!
//! - `peer`: one connection, as handlers see it; `commands`: what its client asks; `subscribing`: how it is subscribed
//! - `asked`: what the App asks all Replicas; `ticker`: what is due with time

mod asked;
mod commands;
mod peer;
mod subscribing;
mod ticker;

use std::cell::Cell;
use std::rc::Rc;

use dog::{
    Close, CloseCode, Context, Group, GroupContext, Limit, Log, Message, Policy, Replica, Request, Response, Socket,
    Unrecovered, offered_subprotocols, query_param,
};

use crate::channels::{Channels, Refused};
use crate::messages::{ChannelAsk, ChannelCall, ChannelReply, ChannelTell, Published};
use crate::numbering::Numbering;
use crate::protocol::{ClientCommand, Codec, Disconnect, ErrorCode, ServerReply, Unsubscribed};
use crate::session::{Admitted, ClientSession, State};
use crate::topics;
use commands::Commands;
use peer::Peer;

/// The subprotocols of the protocol.
const JSON: &str = "centrifuge-json";
const PROTOBUF: &str = "centrifuge-protobuf";

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
        let (codec, subprotocol) = codec(&request);
        let accept = cx.accept(request).attachment(&ClientSession::new(codec));
        Ok(match subprotocol {
            Some(name) => accept.subprotocol(name).connect()?,
            None => accept.connect()?,
        })
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> dog::Result {
        ticker::start(cx, &self.is_ticking)?;
        // What was generated is unique in the Group. What it begins with is not for people.
        let client = socket.client().as_str().trim_start_matches(|letter: char| !letter.is_alphanumeric()).to_owned();
        Ok(Peer::new(cx, socket).change(|session| session.client = client)?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> dog::Result {
        let peer = Peer::new(cx, socket);
        let Ok(commands) = peer.session()?.codec.commands(message.as_bytes()) else {
            peer.close(&Disconnect::BAD_REQUEST);
            return Ok(());
        };
        for command in commands {
            let id = command.id;
            match self.handle(&peer, command).await {
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

/// How the client of a request writes messages, and the subprotocol that says so.
fn codec(request: &Request) -> (Codec, Option<&'static str>) {
    let offers = |name: &str| offered_subprotocols(request).any(|offered| offered == name);
    let asks = |name| query_param(request, name).is_some_and(|value| value == "protobuf");
    if offers(PROTOBUF) {
        (Codec::Protobuf, Some(PROTOBUF))
    } else if offers(JSON) {
        (Codec::Json, Some(JSON))
    } else if asks("format") || asks("cf_protocol") {
        (Codec::Protobuf, None)
    } else {
        (Codec::Json, None)
    }
}
