//! What a server of channels does for others than its clients: [`Server`](ChannelServer).

use std::collections::BTreeMap;
use std::fmt;

use dog::{Anonymous, GroupHandle, HistoryOrder, HistoryPage, LogEpoch, Position, Request, Response};
use prost::Message;

use crate::channels::{ChannelOptions, Channels};
use crate::messages::{ChannelAsk, ChannelCall, ChannelTell, NewChannelPublication, Published, SpeaksChannels, Target};
use crate::protocol::{
    ChannelPublication, ClientInfo, Codec, Disconnect, ErrorCode, HistoryRequest, HistoryResult, PresenceStatsResult,
    check_channel,
};
use crate::render;
use crate::streams;
use crate::topics::{self, CODECS};

/// The most publications of an answer to a request for the history: 300.
pub const MAX_HISTORY: usize = 300;

/// A server of channels, for the App and for what it decides with: backends publish through it. All clients of a server are in the
/// Group with its name.
pub struct ChannelServer<'a, C: Channels, G: SpeaksChannels> {
    app: &'a C,
    group: GroupHandle<G>,
}

impl<'a, C: Channels, G: SpeaksChannels> ChannelServer<'a, C, G> {
    /// The server whose clients are in this Group: `ChannelServer::new(&app, dog.group::<ChannelGroup<_>>("main"))`.
    pub fn new(app: &'a C, group: GroupHandle<G>) -> Self {
        Self { app, group }
    }

    /// Opens the WebSocket of a client. The client says who it is in its first message, within 10 s.
    ///
    /// Call [`Dog::refuse_websocket`](dog::Dog::refuse_websocket) before, so that a request that can only fail costs nothing.
    ///
    /// # Errors
    /// As [`GroupHandle::identify_anonymous`] and [`ReplicaHandle::fetch`](dog::ReplicaHandle::fetch).
    pub async fn connect(&self, request: Request) -> dog::Result<Response> {
        Ok(self.group.identify_anonymous(Anonymous::UntilAssigned).await?.fetch(request).await?)
    }

    /// Opens the stream of a client that cannot open a WebSocket: `POST`, with the command `connect` in the body. A reply is a line of
    /// JSON, or with the content type `application/octet-stream` a message of Protobuf behind its length. What the client says after
    /// that goes to [`emulation`](crate::emulation). A request that can become no connection gets 400, 405 or 413, and nothing is asked.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); or the body could not be read.
    pub async fn http_stream(&self, request: Request) -> dog::Result<Response> {
        match streams::check_body(request).await? {
            Ok(request) => self.connect(request).await,
            Err(refusal) => Ok(*refusal),
        }
    }

    /// Opens the event stream of a client that cannot open a WebSocket: `GET`, with the command `connect` as JSON in the query, under
    /// the name `cf_connect`. What the client says after that goes to [`emulation`](crate::emulation). A request that can become no
    /// connection gets 400, 405 or 414, and nothing is asked.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn event_stream(&self, request: Request) -> dog::Result<Response> {
        match streams::check_query(&request) {
            Ok(()) => self.connect(request).await,
            Err(refusal) => Ok(*refusal),
        }
    }

    /// Hands what the client of a stream says to its connection.
    pub(crate) async fn deliver(&self, session: &str, message: dog::Message) -> Result<(), dog::Error> {
        self.group.deliver(session, message).await
    }

    /// What is kept of a channel.
    pub(crate) fn options(&self, channel: &str) -> Result<ChannelOptions, ErrorCode> {
        check_channel(channel).map_err(|_| ErrorCode::BAD_REQUEST)?;
        self.app.options(channel).ok_or(ErrorCode::UNKNOWN_CHANNEL)
    }

    /// Publishes in a channel. In a channel with a history, all subscribers get its publications in one order, and the answer is
    /// the position. In others, each subscriber that is connected gets it at most once.
    ///
    /// # Errors
    /// What a client would be told. [`ErrorCode::INTERNAL`] means that it may be published or not: repeat it with the same key.
    pub async fn publish(&self, new: NewChannelPublication) -> Result<Published, ErrorCode> {
        let keeps = self.options(&new.channel)?.log != dog::Log::none() && !new.skips_history;
        let channel = new.channel.clone();
        let published = if keeps { self.group.call(&ChannelCall::Publish(new)).await?? } else { self.tell(&new)? };
        if published.is_not_json {
            self.ask(&ChannelAsk::NotJson(channel)).await?;
        }
        Ok(published)
    }

    /// Tells subscribers without keeping anything.
    fn tell(&self, new: &NewChannelPublication) -> Result<Published, ErrorCode> {
        let mut published = Published::default();
        for codec in CODECS {
            match render::publication(codec, new, 0) {
                Ok(message) => self.group.broadcast_to(&topics::publications(codec, &new.channel), message)?,
                Err(_) => published.is_not_json = true,
            }
        }
        Ok(published)
    }

    /// A part of the history of a channel: see [`HistoryRequest`]. At most [`MAX_HISTORY`] publications.
    ///
    /// # Errors
    /// [`ErrorCode::UNRECOVERABLE_POSITION`] if the history does not have what follows the position;
    /// [`ErrorCode::NOT_AVAILABLE`] if there is none.
    pub async fn history(&self, request: &HistoryRequest) -> Result<HistoryResult, ErrorCode> {
        self.history_for(Codec::Json, request).await
    }

    pub(crate) async fn history_for(&self, codec: Codec, request: &HistoryRequest) -> Result<HistoryResult, ErrorCode> {
        if self.options(&request.channel)?.log == dog::Log::none() {
            return Err(ErrorCode::NOT_AVAILABLE);
        }
        let topic = topics::publications(codec, &request.channel);
        let order = if request.reverse { HistoryOrder::NewestFirst } else { HistoryOrder::OldestFirst };
        let limit = usize::try_from(request.limit).unwrap_or(MAX_HISTORY).min(MAX_HISTORY);
        let since = match &request.since {
            Some(since) if limit > 0 => Some(self.position(&topic, &since.epoch, since.offset).await?),
            _ => None,
        };
        let page = self.group.history(&topic, since.as_ref(), order, limit.max(1)).await?;
        Ok(result(codec, &page, limit))
    }

    /// A position, in the present epoch if none is named.
    async fn position(&self, topic: &str, epoch: &str, offset: u64) -> Result<Position, ErrorCode> {
        if !epoch.is_empty() {
            let epoch = LogEpoch::new(epoch).map_err(|_| ErrorCode::UNRECOVERABLE_POSITION)?;
            return Ok(Position::new(epoch, offset));
        }
        let head = self.group.history(topic, None, HistoryOrder::NewestFirst, 1).await?.head;
        Ok(Position::new(head.epoch().clone(), offset))
    }

    /// Has the history of a channel begin again, with another epoch. Clients that have subscribed with positions subscribe again,
    /// and are told that they could not recover.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn remove_history(&self, channel: &str) -> Result<(), ErrorCode> {
        if self.options(channel)?.log == dog::Log::none() {
            return Err(ErrorCode::NOT_AVAILABLE);
        }
        self.group.call(&ChannelCall::RemoveHistory(channel.to_owned())).await?.map(drop)
    }

    /// Who is subscribed to a channel, by the ids of their connections. Each Replica is asked, so it is exact; a Replica that does
    /// not answer in 3 s makes it fail.
    ///
    /// # Errors
    /// [`ErrorCode::NOT_AVAILABLE`]: the channel has no presence.
    pub async fn presence(&self, channel: &str) -> Result<BTreeMap<String, ClientInfo>, ErrorCode> {
        self.has_presence(channel)?;
        let mut present = BTreeMap::new();
        for told in self.ask(&ChannelAsk::Presence(channel.to_owned())).await? {
            let ChannelTell::Presence(infos) = told else { continue };
            for info in infos.iter().filter_map(|info| ClientInfo::decode(&info[..]).ok()) {
                present.insert(info.client.clone(), info);
            }
        }
        Ok(present)
    }

    /// How many connections and users are subscribed to a channel. Users that are not known count as one.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStatsResult, ErrorCode> {
        self.has_presence(channel)?;
        let users = self.numbers(&ChannelAsk::Users(channel.to_owned())).await?;
        let num_users = u32::try_from(users.len()).unwrap_or(u32::MAX);
        Ok(PresenceStatsResult { num_clients: users.values().sum(), num_users })
    }

    fn has_presence(&self, channel: &str) -> Result<(), ErrorCode> {
        if self.options(channel)?.presence { Ok(()) } else { Err(ErrorCode::NOT_AVAILABLE) }
    }

    /// The channels with subscribers, and how many they are.
    ///
    /// # Errors
    /// [`ErrorCode::INTERNAL`]: not all Replicas have answered.
    pub async fn channels(&self) -> Result<BTreeMap<String, u32>, ErrorCode> {
        self.numbers(&ChannelAsk::Channels).await
    }

    /// Subscribes connections to a channel. Says how many there are; those that were subscribed stay so.
    ///
    /// # Errors
    /// As [`channels`](Self::channels).
    pub async fn subscribe(&self, target: Target, channel: &str, info: bytes::Bytes) -> Result<u32, ErrorCode> {
        self.options(channel)?;
        self.done(&ChannelAsk::Subscribe { target, channel: channel.to_owned(), info }).await
    }

    /// Ends subscriptions to a channel. Says how many there were.
    ///
    /// # Errors
    /// As [`channels`](Self::channels).
    pub async fn unsubscribe(&self, target: Target, channel: &str) -> Result<u32, ErrorCode> {
        self.done(&ChannelAsk::Unsubscribe { target, channel: channel.to_owned() }).await
    }

    /// Closes connections, except those that are named. Says how many there were.
    ///
    /// # Errors
    /// As [`channels`](Self::channels).
    pub async fn disconnect(
        &self,
        target: Target,
        except: Vec<String>,
        disconnect: &Disconnect,
    ) -> Result<u32, ErrorCode> {
        self.done(&ChannelAsk::disconnect(target, except, disconnect)).await
    }

    /// How many clients and connections there are.
    ///
    /// # Errors
    /// As [`GroupHandle::count`].
    pub async fn count(&self) -> Result<dog::ClientCount, ErrorCode> {
        Ok(self.group.count().await?)
    }

    async fn ask(&self, ask: &ChannelAsk) -> Result<Vec<ChannelTell>, ErrorCode> {
        let replies = self.group.gossip(ask).await?;
        Ok(replies.complete()?.into_iter().map(|(_, told)| told).collect())
    }

    async fn numbers(&self, ask: &ChannelAsk) -> Result<BTreeMap<String, u32>, ErrorCode> {
        let mut sums = BTreeMap::new();
        for told in self.ask(ask).await? {
            let ChannelTell::Numbers(numbers) = told else { continue };
            for (name, number) in numbers {
                *sums.entry(name).or_default() += number;
            }
        }
        Ok(sums)
    }

    async fn done(&self, ask: &ChannelAsk) -> Result<u32, ErrorCode> {
        let told = self.ask(ask).await?;
        Ok(told.iter().map(|told| if let ChannelTell::Done(number) = told { *number } else { 0 }).sum())
    }
}

fn result(codec: Codec, page: &HistoryPage, limit: usize) -> HistoryResult {
    let publications: Vec<ChannelPublication> =
        page.publications.iter().take(limit).filter_map(|kept| render::read(codec, kept)).collect();
    HistoryResult { publications, epoch: page.head.epoch().as_str().to_owned(), offset: page.head.offset() }
}

impl<C: Channels, G: SpeaksChannels> fmt::Debug for ChannelServer<'_, C, G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChannelServer({:?})", self.group)
    }
}
