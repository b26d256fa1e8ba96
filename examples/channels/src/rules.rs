//! Who may do what, by the configuration: [`Rules`].

use std::sync::Arc;

use dog::{Env, Failure, Timestamp};
use dog_channels::protocol::{Disconnect, ErrorCode};
use dog_channels::{
    Action, ChannelContext, ChannelOptions, Channels, ClientSession, Connecting, Connection, Refused, Subscribing,
    Subscription, Validity,
};
use dog_door::Token;

use crate::channel_settings::ChannelSettings;
use crate::settings::Settings;
use crate::tokens::{Claims, NotValid};

/// The rules of a configuration.
#[derive(Clone, Debug)]
pub struct Rules(Arc<Settings>);

impl Rules {
    /// The rules of this configuration.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0
    }

    fn of_channel(&self, channel: &str) -> Result<&ChannelSettings, Refused> {
        self.0.of_channel(channel).ok_or(ErrorCode::UNKNOWN_CHANNEL.into())
    }

    /// Reads the token of a subscription, which names its user and channel.
    async fn subscription(
        &self,
        who: &ClientSession,
        request: &Subscribing<'_>,
        now: Timestamp,
    ) -> Result<Token<Claims>, Refused> {
        let tokens = self.0.tokens().ok_or(Refused::PERMISSION_DENIED)?;
        let token = tokens.read(request.token, now).await.map_err(NotValid::of_subscription)?;
        let claims = token.claims();
        let is_its_own = claims.channel == request.channel
            && token.subject().unwrap_or_default() == who.user()
            && (claims.client.is_empty() || claims.client == who.client());
        if is_its_own { Ok(token) } else { Err(Disconnect::INVALID_TOKEN.into()) }
    }

    fn connection(&self, token: &Token<Claims>) -> Connection {
        let claims = token.claims();
        let listed = claims.channels.iter().chain(claims.subs.keys());
        Connection {
            user: token.subject().unwrap_or_default().to_owned(),
            info: info(claims),
            expires: self.expires(token),
            channels: listed.cloned().collect(),
            ..Connection::default()
        }
    }

    /// When what a token permits ends.
    fn expires(&self, token: &Token<Claims>) -> Option<Timestamp> {
        (!self.0.is_insecure() && !token.is_endless()).then(|| token.expires())
    }
}

impl Channels for Rules {
    const NAME: &'static str = "channels";

    fn activate(env: &Env) -> dog::Result<Self> {
        env.get().cloned().ok_or_else(|| Failure::new("the Env has no Rules"))
    }

    fn options(&self, channel: &str) -> Option<ChannelOptions> {
        self.0.of_channel(channel).map(ChannelSettings::options)
    }

    async fn connect(&self, cx: &ChannelContext, who: &Connecting<'_>) -> Result<Connection, Refused> {
        if who.token.is_empty() {
            let anonymous = self.0.admits_anonymous().then(Connection::default);
            return anonymous.ok_or(Disconnect::PERMISSION_DENIED.into());
        }
        let tokens = self.0.tokens().ok_or(Disconnect::INVALID_TOKEN)?;
        let token = tokens.read(who.token, cx.now()).await.map_err(NotValid::of_connection)?;
        Ok(self.connection(&token))
    }

    async fn refresh(&self, cx: &ChannelContext, who: &ClientSession, token: &str) -> Result<Validity, Refused> {
        let tokens = self.0.tokens().ok_or(Disconnect::INVALID_TOKEN)?;
        let token = tokens.read(token, cx.now()).await.map_err(NotValid::of_connection)?;
        if token.subject().unwrap_or_default() != who.user() {
            return Err(Disconnect::INVALID_TOKEN.into());
        }
        Ok(Validity { info: info(token.claims()), expires: self.expires(&token) })
    }

    async fn subscribe(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        request: &Subscribing<'_>,
    ) -> Result<Subscription, Refused> {
        let (settings, user) = (self.of_channel(request.channel)?, who.user());
        let is_insecure = self.0.is_insecure();
        let mut subscription = Subscription {
            may_recover: is_insecure || settings.permits(Action::History, user, true),
            may_hear_joins: is_insecure || settings.permits(Action::Presence, user, true),
            ..Subscription::default()
        };
        if !request.token.is_empty() {
            let token = self.subscription(who, request, cx.now()).await?;
            subscription.info = info(token.claims());
            subscription.expires = self.expires(&token);
        } else if Settings::is_private(request.channel) || !(is_insecure || settings.permits_subscribing(user)) {
            return Err(Refused::PERMISSION_DENIED);
        }
        Ok(subscription)
    }

    async fn refresh_subscription(
        &self,
        cx: &ChannelContext,
        who: &ClientSession,
        request: &Subscribing<'_>,
    ) -> Result<Validity, Refused> {
        let token = self.subscription(who, request, cx.now()).await?;
        Ok(Validity { info: info(token.claims()), expires: self.expires(&token) })
    }

    async fn permit(
        &self,
        _: &ChannelContext,
        who: &ClientSession,
        action: Action,
        channel: &str,
    ) -> Result<(), Refused> {
        let settings = self.of_channel(channel)?;
        let may = self.0.is_insecure() || settings.permits(action, who.user(), who.is_subscribed(channel));
        if may { Ok(()) } else { Err(Refused::PERMISSION_DENIED) }
    }
}

fn info(claims: &Claims) -> dog::Bytes {
    claims.info.as_ref().map(|info| info.to_string().into()).unwrap_or_default()
}
