//! The configuration: [`Settings`]. Its fields are those of Centrifugo that have a meaning here.

use std::collections::BTreeMap;

use dog::Request;
use dog_door::{Denied, Origins};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::channel_settings::ChannelSettings;
use crate::tokens::Tokens;
use crate::unknown;

/// What stands before the name of a channel for which each client needs a token.
const PRIVATE: char = '$';

/// What stands between a namespace and the rest of the name of a channel.
const BOUNDARY: char = ':';

/// Where clients connect.
pub(crate) const WEBSOCKET: &str = "/connection/websocket";
pub(crate) const HTTP_STREAM: &str = "/connection/http_stream";
pub(crate) const SSE: &str = "/connection/sse";

/// Where the clients of streams say something.
const EMULATION: &str = "/emulation";

/// The configuration.
#[derive(Debug)]
pub struct Settings {
    file: File,
    namespaces: BTreeMap<String, ChannelSettings>,
    origins: Option<Origins>,
    tokens: Option<Tokens>,
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// It is not JSON, or a field has a wrong type.
    #[error("the configuration is not what this program reads: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A value of a field makes no sense.
    #[error("the configuration: {0}")]
    Value(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    client: Client,
    http_api: Api,
    http_stream: Switch,
    sse: Switch,
    channel: Channel,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Client {
    insecure: bool,
    allow_anonymous_connect_without_token: bool,
    allowed_origins: Vec<String>,
    token: Token,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Token {
    hmac_secret_key: String,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Api {
    key: String,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// Something that can be switched on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Switch {
    enabled: bool,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Channel {
    without_namespace: ChannelSettings,
    namespaces: Vec<ChannelSettings>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl Settings {
    /// Reads a configuration.
    ///
    /// # Errors
    /// It cannot be used. The error names the field.
    pub fn read(json: &str) -> Result<Self, SettingsError> {
        let mut file: File = serde_json::from_str(json)?;
        let mut namespaces = BTreeMap::new();
        for namespace in std::mem::take(&mut file.channel.namespaces) {
            let name = namespace.name().to_owned();
            if name.is_empty() || name.contains(BOUNDARY) {
                return Err(SettingsError::Value(format!("{name:?} is no name for a namespace")));
            }
            if namespaces.insert(name.clone(), namespace).is_some() {
                return Err(SettingsError::Value(format!("there are two namespaces {name:?}")));
            }
        }
        let origins = origins(&file.client.allowed_origins)?;
        let secret = &file.client.token.hmac_secret_key;
        let tokens = (!secret.is_empty()).then(|| Tokens::new(secret, file.client.insecure)).transpose();
        let tokens = tokens.map_err(|error| SettingsError::Value(format!("hmac_secret_key: {error}")))?;
        Ok(Self { file, namespaces, origins, tokens })
    }

    /// The fields that this program does not know or cannot honour. Everything else works.
    pub fn unknown(&self) -> Vec<String> {
        let File { client, http_api, http_stream, sse, channel, unknown: own } = &self.file;
        let mut found: Vec<String> = unknown::paths("", own).collect();
        found.extend(unknown::paths("client", &client.unknown));
        found.extend(unknown::paths("client.token", &client.token.unknown));
        found.extend(unknown::paths("http_api", &http_api.unknown));
        found.extend(unknown::paths("http_stream", &http_stream.unknown));
        found.extend(unknown::paths("sse", &sse.unknown));
        found.extend(unknown::paths("channel", &channel.unknown));
        found.extend(channel.without_namespace.unknown("channel.without_namespace"));
        for (name, namespace) in &self.namespaces {
            found.extend(namespace.unknown(&format!("channel.namespaces.{name}")));
        }
        found
    }

    /// The settings of a channel. `None`: its namespace is not known, or is of a kind that cannot be had.
    pub(crate) fn of_channel(&self, channel: &str) -> Option<&ChannelSettings> {
        let name = channel.strip_prefix(PRIVATE).unwrap_or(channel);
        let settings = match name.split_once(BOUNDARY) {
            Some((namespace, _)) => self.namespaces.get(namespace)?,
            None => &self.file.channel.without_namespace,
        };
        settings.is_offered().then_some(settings)
    }

    /// Whether each client needs a token for a channel.
    pub(crate) fn is_private(channel: &str) -> bool {
        channel.starts_with(PRIVATE)
    }

    /// Everybody may do everything: for development.
    pub(crate) fn is_insecure(&self) -> bool {
        self.file.client.insecure
    }

    /// Whether a client may connect that does not say who it is.
    pub(crate) fn admits_anonymous(&self) -> bool {
        self.is_insecure() || self.file.client.allow_anonymous_connect_without_token
    }

    /// Whether clients may come to this path.
    pub(crate) fn offers(&self, path: &str) -> bool {
        let File { http_stream, sse, .. } = &self.file;
        match path {
            WEBSOCKET => true,
            HTTP_STREAM => http_stream.enabled,
            SSE => sse.enabled,
            EMULATION => http_stream.enabled || sse.enabled,
            _ => false,
        }
    }

    pub(crate) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// The key of the API. `None`: there is none, and no backend comes in.
    pub(crate) fn api_key(&self) -> Option<&str> {
        Some(self.file.http_api.key.as_str()).filter(|key| !key.is_empty())
    }

    pub(crate) fn check_origin(&self, request: &Request) -> Result<(), Denied> {
        self.origins.as_ref().map_or(Ok(()), |origins| origins.check(request))
    }
}

/// Which pages may connect. `None`: all.
fn origins(allowed: &[String]) -> Result<Option<Origins>, SettingsError> {
    if allowed.iter().any(|origin| origin == "*") {
        return Ok(None);
    }
    let mut origins = Origins::same();
    for origin in allowed {
        origins = origins.allow(origin).map_err(|error| SettingsError::Value(format!("allowed_origins: {error}")))?;
    }
    Ok(Some(origins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_named_and_the_rest_works() {
        let settings = Settings::read(
            r#"{
                "client": {"insecure": true, "concurrency": 8, "token": {"hmac_secret_key": "secret", "jwks": 1}},
                "log": {"level": "trace"},
                "sse": {"enabled": true, "max_age": 1},
                "channel": {
                    "without_namespace": {"presence": true, "delta_publish": true},
                    "namespaces": [{"name": "poll", "subscription_type": "shared_poll"}, {"name": "news"}]
                }
            }"#,
        )
        .unwrap();
        let expected = [
            "log",
            "client.concurrency",
            "client.token.jwks",
            "sse.max_age",
            "channel.without_namespace.delta_publish",
            "channel.namespaces.poll.subscription_type = shared_poll",
        ];
        assert_eq!(settings.unknown(), expected);
        assert!(settings.offers(SSE) && settings.offers(EMULATION) && !settings.offers(HTTP_STREAM));
        let presence = |channel| settings.of_channel(channel).map(|found| found.options().presence);
        assert_eq!(presence("a"), Some(true));
        assert_eq!(presence("$a"), Some(true));
        assert_eq!(presence("news:a"), Some(false));
        assert_eq!(presence("$news:a"), Some(false));
        assert_eq!(presence("other:a"), None);
        assert_eq!(presence("poll:a"), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_one_line() {
        let error = |json| Settings::read(json).unwrap_err().to_string();
        assert!(error("[").contains("not what this program reads"));
        assert!(error(r#"{"channel":{"namespaces":[{"name":"a"},{"name":"a"}]}}"#).contains("two namespaces"));
        assert!(error(r#"{"channel":{"without_namespace":{"history_ttl":"5 days"}}}"#).contains("5 days"));
        assert!(error(r#"{"client":{"token":{"hmac_secret_key":"secret"}}}"#).contains("hmac_secret_key"));
        assert!(error(r#"{"client":{"allowed_origins":["nonsense"]}}"#).contains("allowed_origins"));
    }
}
