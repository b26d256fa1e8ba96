//! What the configuration says of channels: [`ChannelSettings`].

use std::collections::BTreeMap;
use std::time::Duration;

use dog::Log;
use dog_channels::{Action, ChannelOptions};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::unknown;

/// The settings of the channels of a namespace, or of those without one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)] // Each stands for itself, under the name that it has in the configuration.
pub struct ChannelSettings {
    name: String,
    presence: bool,
    join_leave: bool,
    force_push_join_leave: bool,
    history_size: u32,
    #[serde(deserialize_with = "duration")]
    history_ttl: Duration,
    force_recovery: bool,
    force_positioning: bool,
    allow_subscribe_for_client: bool,
    allow_subscribe_for_anonymous: bool,
    allow_publish_for_client: bool,
    allow_publish_for_subscriber: bool,
    allow_publish_for_anonymous: bool,
    allow_history_for_client: bool,
    allow_history_for_subscriber: bool,
    allow_history_for_anonymous: bool,
    allow_presence_for_client: bool,
    allow_presence_for_subscriber: bool,
    allow_presence_for_anonymous: bool,
    subscription_type: String,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl ChannelSettings {
    /// The name of the namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its channels are of the kind that there is.
    pub(crate) fn is_offered(&self) -> bool {
        matches!(self.subscription_type.as_str(), "" | "stream")
    }

    /// The fields that are not known or cannot be honoured, behind a prefix.
    pub(crate) fn unknown(&self, prefix: &str) -> Vec<String> {
        let mut found: Vec<String> = unknown::paths(prefix, &self.unknown).collect();
        if !self.is_offered() {
            found.push(format!("{prefix}.subscription_type = {}", self.subscription_type));
        }
        found
    }

    /// What is kept of the channels, and told.
    pub(crate) fn options(&self) -> ChannelOptions {
        let keeps = self.history_size > 0 && !self.history_ttl.is_zero();
        // Publications have 256 KiB at most; all channels of a server share 64 MiB.
        let log = Log::memory().publications(self.history_size).age(self.history_ttl);
        ChannelOptions {
            log: if keeps { log } else { Log::none() },
            presence: self.presence,
            join_leave: self.join_leave,
            force_join_leave: self.force_push_join_leave,
            force_recovery: self.force_recovery,
            force_positions: self.force_positioning,
        }
    }

    /// Whether a client may subscribe without a token.
    pub(crate) fn permits_subscribing(&self, user: &str) -> bool {
        self.allow_subscribe_for_client && (!user.is_empty() || self.allow_subscribe_for_anonymous)
    }

    /// Whether a client may do this.
    pub(crate) fn permits(&self, action: Action, user: &str, is_subscribed: bool) -> bool {
        let (client, subscriber, anonymous) = match action {
            Action::Publish => {
                (self.allow_publish_for_client, self.allow_publish_for_subscriber, self.allow_publish_for_anonymous)
            }
            Action::History => {
                (self.allow_history_for_client, self.allow_history_for_subscriber, self.allow_history_for_anonymous)
            }
            Action::Presence => {
                (self.allow_presence_for_client, self.allow_presence_for_subscriber, self.allow_presence_for_anonymous)
            }
        };
        (client || subscriber && is_subscribed) && (!user.is_empty() || anonymous)
    }
}

/// A number with a unit, such as `300s`, `1h30m` or `500ms`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no time such as \"300s\" or \"1h30m\"")))
}

fn parse(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let end = rest[digits..].find(|letter: char| letter.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let unit = match &rest[digits..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit)?))?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse("300s"), Some(Duration::from_secs(300)));
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        for text in ["", "300", "s", "3 s", "1d", "99999999999999999999s", "-1s"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn those_who_are_not_known_need_a_permission_of_their_own() {
        let settings: ChannelSettings = serde_json::from_str(r#"{"allow_publish_for_subscriber":true}"#).unwrap();
        assert!(settings.permits(Action::Publish, "ann", true));
        assert!(!settings.permits(Action::Publish, "ann", false));
        assert!(!settings.permits(Action::Publish, "", true));
        assert!(!settings.permits(Action::History, "ann", true));
    }
}
