//! What clients ask, and what they are answered.

use std::collections::BTreeSet;

use dog::{ClientId, Replica};

use super::peer::Peer;
use super::subscribing::{self, Since};
use crate::channels::{Action, ChannelContext, Channels, Connecting, Refused, Subscribing, Validity};
use crate::link::{PING, is_still_valid, time_to_live};
use crate::messages::{NewChannelPublication, SpeaksChannels};
use crate::protocol::{
    ClientCommand, ConnectRequest, ConnectResult, Disconnect, ErrorCode, HistoryRequest, PresenceRequest,
    PresenceResult, PresenceStatsRequest, PublishRequest, PublishResult, RefreshRequest, RefreshResult, RpcRequest,
    RpcResult, ServerReply, SubRefreshRequest, SubRefreshResult, UnsubscribeRequest, UnsubscribeResult,
};
use crate::server::ChannelServer;
use crate::session::{ClientSession, State};

/// What a server calls itself.
const VERSION: &str = concat!("dog-channels ", env!("CARGO_PKG_VERSION"));

/// The name of every server: each takes what the client of a stream says.
const NODE: &str = "any";

type Answer = Result<Option<ServerReply>, Refused>;

/// Carries out what one client asks.
pub(super) struct Commands<'a, C, R: Replica> {
    app: &'a C,
    peer: &'a Peer<'a, R>,
}

impl<'a, C: Channels, R: Replica<Group: SpeaksChannels>> Commands<'a, C, R> {
    pub(super) fn new(app: &'a C, peer: &'a Peer<'a, R>) -> Self {
        Self { app, peer }
    }

    /// Carries out the first request of a command. The reply is missing if there is none, or if it was sent.
    pub(super) async fn run(&self, command: ClientCommand) -> Answer {
        let id = command.id;
        if let Some(request) = command.connect {
            self.connect(id, &request).await
        } else if command.ping.is_some() {
            Err(Refused::NOT_AVAILABLE)
        } else if let Some(request) = command.subscribe {
            named(&request.channel)?;
            subscribing::subscribe(self.app, self.peer, id, &request).await.map(|()| None)
        } else if let Some(request) = command.unsubscribe {
            unsubscribe(self.peer, &request)
        } else if let Some(request) = command.publish {
            self.publish(request).await
        } else if let Some(request) = command.presence {
            self.presence(&request).await
        } else if let Some(request) = command.presence_stats {
            self.presence_stats(&request).await
        } else if let Some(request) = command.history {
            self.history(&request).await
        } else if let Some(request) = command.rpc {
            self.rpc(&request).await
        } else if let Some(request) = command.send {
            self.app.message(&self.context(), &*self.peer.session()?, &request.data).await.map(|()| None)
        } else if let Some(request) = command.refresh {
            self.refresh(&request).await
        } else if let Some(request) = command.sub_refresh {
            self.refresh_subscription(&request).await
        } else {
            Err(Disconnect::BAD_REQUEST.into())
        }
    }

    async fn connect(&self, id: u32, request: &ConnectRequest) -> Answer {
        let client = self.peer.session()?.client.clone();
        let ConnectRequest { token, data, name, version, .. } = request;
        let who = Connecting { client: &client, token, data, name, version };
        let connection = self.app.connect(&self.context(), &who).await?;
        let now = self.peer.cx.now();
        is_still_valid(connection.expires, now)?;
        let identity = identity(&connection.user, &client)?;
        self.peer.change(|session| {
            session.user = connection.user;
            session.info = connection.info;
            session.expires = connection.expires;
            session.state = State::Connected;
        })?;
        self.peer.socket.assign(&identity).await?;
        let mut result = ConnectResult {
            client,
            version: VERSION.to_owned(),
            expires: connection.expires.is_some(),
            ttl: time_to_live(connection.expires, now),
            data: connection.data,
            ping: u32::try_from(PING.as_secs()).unwrap_or(0),
            pong: true,
            session: self.peer.socket.session().unwrap_or_default(),
            node: NODE.to_owned(),
            ..ConnectResult::default()
        };
        let mut prepared = Vec::new();
        for channel in connection.channels.into_iter().collect::<BTreeSet<_>>() {
            let since = request.subs.get(&channel).and_then(Since::of);
            let (subscribed, start) =
                subscribing::prepare(self.app, self.peer, &channel, since, bytes::Bytes::new()).await?;
            result.subs.insert(channel, subscribed);
            prepared.push(start);
        }
        self.peer.reply(id, ServerReply { connect: Some(Box::new(result)), ..ServerReply::default() });
        for start in prepared {
            subscribing::start(self.peer, start).await?;
        }
        Ok(None)
    }

    async fn refresh(&self, request: &RefreshRequest) -> Answer {
        if request.token.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        let Validity { info, expires } =
            self.app.refresh(&self.context(), &*self.peer.session()?, &request.token).await?;
        let now = self.peer.cx.now();
        is_still_valid(expires, now)?;
        self.peer.change(|session| {
            session.expires = expires;
            if !info.is_empty() {
                session.info = info;
            }
        })?;
        let (client, version) = (self.peer.session()?.client.clone(), VERSION.to_owned());
        let refresh = RefreshResult { client, version, expires: expires.is_some(), ttl: time_to_live(expires, now) };
        Ok(Some(ServerReply { refresh: Some(refresh), ..ServerReply::default() }))
    }

    async fn refresh_subscription(&self, request: &SubRefreshRequest) -> Answer {
        named(&request.channel)?;
        let (session, channel) = (self.peer.session()?, &request.channel);
        if request.kind != 0 {
            return Err(Refused::NOT_AVAILABLE);
        }
        if !session.is_subscribed(channel) {
            return Err(Refused::PERMISSION_DENIED);
        }
        if request.token.is_empty() {
            return Err(Refused::BAD_REQUEST);
        }
        let subscribing = Subscribing { channel, token: &request.token, data: &bytes::Bytes::new() };
        let Validity { info, expires } = self.app.refresh_subscription(&self.context(), &session, &subscribing).await?;
        let now = self.peer.cx.now();
        is_still_valid(expires, now)?;
        self.peer.change(|session| {
            // It may have ended meanwhile.
            let Some(membership) = session.channels.get_mut(channel) else { return };
            membership.expires = expires;
            if !info.is_empty() {
                membership.info = info;
            }
        })?;
        let sub_refresh = SubRefreshResult { expires: expires.is_some(), ttl: time_to_live(expires, now) };
        Ok(Some(ServerReply { sub_refresh: Some(sub_refresh), ..ServerReply::default() }))
    }

    async fn publish(&self, request: PublishRequest) -> Answer {
        named(&request.channel)?;
        if request.kind != 0 {
            return Err(Refused::NOT_AVAILABLE);
        }
        let session = self.permitted(Action::Publish, &request.channel).await?;
        let seen = session.seen(&request.channel);
        let new = NewChannelPublication::new(request.channel, request.data).by(&seen);
        self.server().publish(new).await?;
        Ok(Some(ServerReply { publish: Some(PublishResult {}), ..ServerReply::default() }))
    }

    async fn history(&self, request: &HistoryRequest) -> Answer {
        named(&request.channel)?;
        let session = self.permitted(Action::History, &request.channel).await?;
        let history = self.server().history_for(session.codec, request).await?;
        Ok(Some(ServerReply { history: Some(history), ..ServerReply::default() }))
    }

    async fn presence(&self, request: &PresenceRequest) -> Answer {
        named(&request.channel)?;
        self.permitted(Action::Presence, &request.channel).await?;
        let presence = PresenceResult { presence: self.server().presence(&request.channel).await? };
        Ok(Some(ServerReply { presence: Some(presence), ..ServerReply::default() }))
    }

    async fn presence_stats(&self, request: &PresenceStatsRequest) -> Answer {
        named(&request.channel)?;
        self.permitted(Action::Presence, &request.channel).await?;
        let stats = self.server().presence_stats(&request.channel).await?;
        Ok(Some(ServerReply { presence_stats: Some(stats), ..ServerReply::default() }))
    }

    async fn rpc(&self, request: &RpcRequest) -> Answer {
        let data = self.app.rpc(&self.context(), &*self.peer.session()?, &request.method, &request.data).await?;
        Ok(Some(ServerReply { rpc: Some(RpcResult { data }), ..ServerReply::default() }))
    }

    /// Whether the client may do this with a channel that there is.
    async fn permitted(&self, action: Action, channel: &str) -> Result<std::rc::Rc<ClientSession>, Refused> {
        self.server().options(channel)?;
        let session = self.peer.session()?;
        self.app.permit(&self.context(), &session, action, channel).await?;
        Ok(session)
    }

    fn context(&self) -> ChannelContext {
        ChannelContext::of(self.peer.cx)
    }

    fn server(&self) -> ChannelServer<'_, C, R::Group> {
        ChannelServer::new(self.app, self.peer.cx.dog().group_by_id(self.peer.cx.group()))
    }
}

fn unsubscribe<R: Replica>(peer: &Peer<'_, R>, request: &UnsubscribeRequest) -> Answer {
    named(&request.channel)?;
    peer.leave(&request.channel);
    Ok(Some(ServerReply { unsubscribe: Some(UnsubscribeResult {}), ..ServerReply::default() }))
}

/// A command about a channel that names none is no mistake of a user.
fn named(channel: &str) -> Result<(), Refused> {
    if channel.is_empty() { Err(Disconnect::BAD_REQUEST.into()) } else { Ok(()) }
}

/// Whom the library knows the connection as. One whose user is not known is a client of its own.
fn identity(user: &str, client: &str) -> Result<ClientId, ErrorCode> {
    let name = if user.is_empty() { format!("client:{client}") } else { format!("user:{user}") };
    ClientId::new(name).map_err(|_| ErrorCode::BAD_REQUEST)
}
