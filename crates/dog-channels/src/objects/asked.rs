//! What the App, and clients through it, ask all Replicas.

use std::collections::BTreeMap;

use dog::{CloseCode, Context, Replica};
use prost::Message;

use super::peer::{Peer, connected};
use super::subscribing;
use crate::channels::{Channels, Refused};
use crate::messages::{ChannelAsk, ChannelTell, Target};
use crate::protocol::{Codec, Disconnect, Push, SubscribePush, Unsubscribed};

pub(super) async fn asked<C: Channels, R: Replica>(app: &C, cx: &Context<R>, ask: ChannelAsk) -> ChannelTell {
    match ask {
        ChannelAsk::Presence(channel) => present(cx, &channel),
        ChannelAsk::Users(channel) => users(cx, &channel),
        ChannelAsk::Channels => channels(cx),
        ChannelAsk::Subscribe { target, channel, info } => subscribe_all(app, cx, &target, &channel, info).await,
        ChannelAsk::Unsubscribe { target, channel } => unsubscribe_all(cx, &target, &channel),
        ChannelAsk::Disconnect { target, except, code, reason } => {
            let code = CloseCode::new(code).unwrap_or(CloseCode::POLICY);
            disconnect(cx, &target, &except, code, &reason)
        }
        ChannelAsk::NotJson(channel) => close_who_cannot_read(cx, &channel),
    }
}

async fn subscribe_all<C: Channels, R: Replica>(
    app: &C,
    cx: &Context<R>,
    target: &Target,
    channel: &str,
    info: bytes::Bytes,
) -> ChannelTell {
    let mut done = 0;
    let meant: Vec<_> = connected(cx).filter(|(_, session)| session.is_of(&target.user, &target.client)).collect();
    for (socket, _) in meant {
        let peer = Peer::new(cx, &socket);
        match subscribe_for(app, &peer, channel, info.clone()).await {
            Ok(()) => done += 1,
            Err(Refused::Error(_)) => {}
            Err(Refused::Disconnect(disconnect)) => peer.close(&disconnect),
        }
    }
    ChannelTell::Done(done)
}

/// Subscribes one connection, and tells its client before what is published.
async fn subscribe_for<C: Channels, R: Replica>(
    app: &C,
    peer: &Peer<'_, R>,
    channel: &str,
    info: bytes::Bytes,
) -> Result<(), Refused> {
    let (result, start) = subscribing::prepare(app, peer, channel, None, info).await?;
    let subscribe = SubscribePush {
        recoverable: result.recoverable,
        positioned: result.positioned,
        epoch: result.epoch,
        offset: result.offset,
        data: result.data,
    };
    peer.push(Push { channel: channel.to_owned(), subscribe: Some(subscribe), ..Push::default() });
    Ok(subscribing::start(peer, start).await?)
}

fn present<R: Replica>(cx: &Context<R>, channel: &str) -> ChannelTell {
    let present = connected(cx).filter(|(_, session)| session.is_subscribed(channel));
    ChannelTell::Presence(present.map(|(_, session)| session.seen(channel).encode_to_vec().into()).collect())
}

fn users<R: Replica>(cx: &Context<R>, channel: &str) -> ChannelTell {
    let mut users = BTreeMap::new();
    for (_, session) in connected(cx).filter(|(_, session)| session.is_subscribed(channel)) {
        *users.entry(session.user().to_owned()).or_default() += 1;
    }
    ChannelTell::Numbers(users)
}

fn channels<R: Replica>(cx: &Context<R>) -> ChannelTell {
    let mut channels: BTreeMap<String, u32> = BTreeMap::new();
    for (_, session) in connected(cx) {
        for channel in session.channels.keys() {
            *channels.entry(channel.clone()).or_default() += 1;
        }
    }
    ChannelTell::Numbers(channels)
}

fn unsubscribe_all<R: Replica>(cx: &Context<R>, target: &Target, channel: &str) -> ChannelTell {
    let mut done = 0;
    let meant: Vec<_> = connected(cx).filter(|(_, session)| session.is_of(&target.user, &target.client)).collect();
    for (socket, session) in meant {
        done += u32::from(session.is_subscribed(channel));
        Peer::new(cx, &socket).end(channel, Unsubscribed::SERVER, &Disconnect::FORCE_NO_RECONNECT);
    }
    ChannelTell::Done(done)
}

fn disconnect<R: Replica>(
    cx: &Context<R>,
    target: &Target,
    except: &[String],
    code: CloseCode,
    reason: &str,
) -> ChannelTell {
    let mut done = 0;
    let meant: Vec<_> = connected(cx).filter(|(_, session)| session.is_of(&target.user, &target.client)).collect();
    for (socket, _) in meant.iter().filter(|(_, session)| !except.contains(&session.client)) {
        Peer::new(cx, socket).close_with(code, reason, Disconnect::is_temporary(code.as_u16()));
        done += 1;
    }
    ChannelTell::Done(done)
}

fn close_who_cannot_read<R: Replica>(cx: &Context<R>, channel: &str) -> ChannelTell {
    let mut done = 0;
    let meant: Vec<_> =
        connected(cx).filter(|(_, session)| session.codec == Codec::Json && session.is_subscribed(channel)).collect();
    for (socket, _) in meant {
        Peer::new(cx, &socket).close(&Disconnect::INAPPROPRIATE_PROTOCOL);
        done += 1;
    }
    ChannelTell::Done(done)
}
