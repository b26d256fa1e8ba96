//! How a connection is subscribed to a channel, by its client or by the server.
//!
//! A client that gets positions goes on from one: the library replays what comes after it, without gap or double. So the reply has
//! to be sent before the replay begins, which is when this code waits again.

use bytes::Bytes;
use dog::{HistoryOrder, LogEpoch, Position, Replica};

use super::peer::Peer;
use crate::channels::{ChannelContext, ChannelOptions, Channels, Refused, Subscribing, Subscription};
use crate::link::{is_still_valid, time_to_live};
use crate::protocol::{Disconnect, ErrorCode, ServerReply, SubscribeRequest, SubscribeResult, check_channel};
use crate::session::{MAX_CHANNELS, Membership};
use crate::topics;

/// The bit of the extension that fails a subscription which cannot recover. The first bit asks for numbers in place of names of
/// channels, which is not offered.
const REJECT_UNRECOVERED: i64 = 1 << 1;

/// How often a subscription is tried that is overtaken by a log which begins again.
const ATTEMPTS: usize = 3;

/// Where a client has been.
#[derive(Clone, Debug)]
pub(super) struct Since {
    /// `None`: not in a position that any log could have.
    position: Option<Position>,
    must_recover: bool,
}

impl Since {
    /// Where a request says that the client has been.
    pub(super) fn of(request: &SubscribeRequest) -> Option<Self> {
        let position = || LogEpoch::new(&request.epoch).ok().map(|epoch| Position::new(epoch, request.offset));
        let must_recover = request.flag & REJECT_UNRECOVERED != 0;
        request.recover.then(|| Self { position: position(), must_recover })
    }
}

/// A subscription of the server that begins when its client knows that it is connected.
pub(super) struct Start {
    channel: String,
    /// Where the client goes on. `None`: it has been subscribed.
    position: Option<Position>,
}

/// Subscribes a connection for its client, and replies.
pub(super) async fn subscribe<C: Channels, R: Replica>(
    app: &C,
    peer: &Peer<'_, R>,
    id: u32,
    request: &SubscribeRequest,
) -> Result<(), Refused> {
    let options = can_enter(app, peer, &request.channel)?;
    if request.kind != 0 {
        return Err(Refused::NOT_AVAILABLE);
    }
    if !request.tf.is_empty() {
        return Err(Refused::BAD_REQUEST);
    }
    let subscribing = Subscribing { channel: &request.channel, token: &request.token, data: &request.data };
    let permitted = app.subscribe(&ChannelContext::of(peer.cx), &*peer.session()?, &subscribing).await?;
    let now = peer.cx.now();
    is_still_valid(permitted.expires, now)?;
    can_enter(app, peer, &request.channel)?;
    let mut result = SubscribeResult {
        expires: permitted.expires.is_some(),
        ttl: time_to_live(permitted.expires, now),
        data: permitted.data.clone(),
        ..described(&options, request, &permitted)
    };
    let hears_joins =
        options.join_leave && (options.force_join_leave || request.join_leave && permitted.may_hear_joins);
    let membership = Membership {
        info: permitted.info,
        expires: permitted.expires,
        is_of_server: false,
        hears_joins,
        is_announced: options.join_leave,
    };
    enter(peer, &request.channel, membership)?;
    let outcome = follow(peer, request, &mut result).await;
    settle(peer, &request.channel, outcome)?;
    peer.reply(id, ServerReply { subscribe: Some(Box::new(result)), ..ServerReply::default() });
    peer.announce_join(&*peer.session()?, &request.channel);
    Ok(())
}

/// Whether a connection can be subscribed to a channel that there is.
fn can_enter<C: Channels, R: Replica>(app: &C, peer: &Peer<'_, R>, channel: &str) -> Result<ChannelOptions, Refused> {
    check_channel(channel).map_err(|_| ErrorCode::BAD_REQUEST)?;
    let options = app.options(channel).ok_or(ErrorCode::UNKNOWN_CHANNEL)?;
    let session = peer.session()?;
    if session.is_subscribed(channel) {
        return Err(ErrorCode::ALREADY_SUBSCRIBED.into());
    }
    if session.channels.len() >= MAX_CHANNELS {
        return Err(ErrorCode::LIMIT_EXCEEDED.into());
    }
    Ok(options)
}

/// Has the socket get what is published. Nothing of it is sent before the caller waits for something.
async fn follow<R: Replica>(
    peer: &Peer<'_, R>,
    request: &SubscribeRequest,
    result: &mut SubscribeResult,
) -> Result<(), Refused> {
    let session = peer.session()?;
    hear_joins(peer, &request.channel).await?;
    let topic = topics::publications(session.codec, &request.channel);
    if !result.positioned {
        return Ok(peer.socket.subscribe(&topic).await?);
    }
    if let Some(since) = Since::of(request).filter(|_| result.recoverable) {
        result.was_recovering = true;
        if let Some(position) = since.position
            && peer.socket.resume(&topic, &position).await?.is_ok()
        {
            result.recovered = true;
            set_position(result, &position);
            return Ok(());
        }
        if since.must_recover {
            return Err(ErrorCode::UNRECOVERABLE_POSITION.into());
        }
    }
    for _ in 0..ATTEMPTS {
        let head = peer.cx.history(&topic, None, HistoryOrder::NewestFirst, 1).await?.head;
        if peer.socket.resume(&topic, &head).await?.is_ok() {
            set_position(result, &head);
            return Ok(());
        }
    }
    Err(ErrorCode::INTERNAL.into())
}

/// Finds out where a subscription of the server begins, before the client is told that it is connected.
pub(super) async fn prepare<C: Channels, R: Replica>(
    app: &C,
    peer: &Peer<'_, R>,
    channel: &str,
    since: Option<Since>,
    info: Bytes,
) -> Result<(SubscribeResult, Start), Refused> {
    let options = can_enter(app, peer, channel)?;
    let membership = Membership {
        info,
        expires: None,
        is_of_server: true,
        hears_joins: options.join_leave && options.force_join_leave,
        is_announced: options.join_leave,
    };
    enter(peer, channel, membership)?;
    let result = described(&options, &SubscribeRequest::default(), &Subscription::default());
    let outcome = begin(peer, channel, since, result).await;
    settle(peer, channel, outcome)
}

/// Subscribes to a channel without positions, or finds out where to begin.
async fn begin<R: Replica>(
    peer: &Peer<'_, R>,
    channel: &str,
    since: Option<Since>,
    mut result: SubscribeResult,
) -> Result<(SubscribeResult, Start), Refused> {
    hear_joins(peer, channel).await?;
    let topic = topics::publications(peer.session()?.codec, channel);
    let mut start = Start { channel: channel.to_owned(), position: None };
    if !result.positioned {
        peer.socket.subscribe(&topic).await?;
        return Ok((result, start));
    }
    result.was_recovering = since.is_some() && result.recoverable;
    let since = since.and_then(|since| since.position).filter(|_| result.recoverable);
    let position = match since {
        Some(position) if has_all_since(peer, &topic, &position).await? => {
            result.recovered = true;
            position
        }
        _ => peer.cx.history(&topic, None, HistoryOrder::NewestFirst, 1).await?.head,
    };
    set_position(&mut result, &position);
    start.position = Some(position);
    Ok((result, start))
}

/// Begins a subscription of the server. Its client has been told of it, so that it ends with the connection if it cannot begin.
pub(super) async fn start<R: Replica>(peer: &Peer<'_, R>, start: Start) -> Result<(), Disconnect> {
    if let Some(position) = start.position {
        let session = peer.session().map_err(|_| Disconnect::CONNECTION_CLOSED)?;
        let topic = topics::publications(session.codec, &start.channel);
        match peer.socket.resume(&topic, &position).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Disconnect::INSUFFICIENT_STATE),
            Err(_) => return Err(Disconnect::SERVER_ERROR),
        }
    }
    let session = peer.session().map_err(|_| Disconnect::CONNECTION_CLOSED)?;
    peer.announce_join(&session, &start.channel);
    Ok(())
}

/// What a subscription offers.
fn described(options: &ChannelOptions, request: &SubscribeRequest, permitted: &Subscription) -> SubscribeResult {
    let has_log = options.log != dog::Log::none();
    let recoverable = has_log && (options.force_recovery || request.recoverable && permitted.may_recover);
    let positioned = has_log && (recoverable || options.force_positions || request.positioned && permitted.may_recover);
    SubscribeResult { recoverable, positioned, ..SubscribeResult::default() }
}

fn set_position(result: &mut SubscribeResult, position: &Position) {
    result.epoch = position.epoch().as_str().to_owned();
    result.offset = position.offset();
}

/// Whether a log has everything since a position.
async fn has_all_since<R: Replica>(peer: &Peer<'_, R>, topic: &str, since: &Position) -> Result<bool, dog::Error> {
    match peer.cx.history(topic, Some(since), HistoryOrder::OldestFirst, 1).await {
        Ok(_) => Ok(true),
        Err(error) if error.unrecovered().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Has the client hear who comes and goes, if it wants to.
async fn hear_joins<R: Replica>(peer: &Peer<'_, R>, channel: &str) -> Result<(), dog::Error> {
    let session = peer.session()?;
    if session.channels.get(channel).is_some_and(|membership| membership.hears_joins) {
        peer.socket.subscribe(&topics::joins(session.codec, channel)).await?;
    }
    Ok(())
}

/// Notes a subscription, which counts from now on.
fn enter<R: Replica>(peer: &Peer<'_, R>, channel: &str, membership: Membership) -> Result<(), dog::Error> {
    peer.change(|session| drop(session.channels.insert(channel.to_owned(), membership)))
}

/// Takes a subscription back that has failed, or has ended while it was made.
fn settle<R: Replica, T>(peer: &Peer<'_, R>, channel: &str, outcome: Result<T, Refused>) -> Result<T, Refused> {
    let session = peer.session()?;
    if outcome.is_err() {
        forget(peer, channel);
    } else if !session.is_subscribed(channel) {
        peer.hush(&session, channel);
        return Err(ErrorCode::INTERNAL.into());
    }
    outcome
}

/// Nobody was told of it.
fn forget<R: Replica>(peer: &Peer<'_, R>, channel: &str) {
    // It fails only if the socket has closed.
    drop(peer.change(|session| {
        if let Some(membership) = session.channels.get_mut(channel) {
            membership.is_announced = false;
        }
    }));
    peer.leave(channel);
}
