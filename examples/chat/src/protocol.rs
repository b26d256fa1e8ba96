//! The messages of the socket, as JSON, and the commands that people type.

use std::collections::BTreeSet;

use dog::{ClientId, Message, Timestamp};
use serde::{Deserialize, Serialize};

/// Longest text of one message, in bytes.
pub(crate) const MAX_TEXT: usize = 16 * 1024;

/// A message from a client. Further fields are ignored, above all `user` and `uid`: the socket says who speaks, and a client
/// could write any name there.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Input {
    /// "I am here."
    #[serde(rename = "req:connected")]
    Connected,
    /// "Who else is?"
    #[serde(rename = "req:user:list")]
    UserList,
    /// "My session was renewed." The token comes from `GET /session`.
    #[serde(rename = "req:renew")]
    Renew { token: String },
    /// A text, which may be a [`Command`].
    #[serde(rename = "msg")]
    Say { text: String },
}

/// A message from the server. [`Output::at`] adds the time.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(crate) enum Output<'a> {
    /// `replica` has the user's first socket, if that is still open.
    #[serde(rename = "user:join")]
    Join {
        from: &'a ClientId,
        #[serde(skip_serializing_if = "Option::is_none")]
        replica: Option<&'a str>,
    },
    #[serde(rename = "user:connected")]
    Connected { from: &'a ClientId },
    #[serde(rename = "user:exit")]
    Exit { from: &'a ClientId },
    /// `list` has every user once, also those who have just left and may come back. `replicas` has the users of each Replica,
    /// `replica` is the one that answers, `missing` is the number of siblings that did not answer.
    #[serde(rename = "user:list")]
    List { list: BTreeSet<ClientId>, replica: String, replicas: Vec<Users>, missing: usize },
    /// With `epoch` and `offset` if it is said to everyone: see [`with_position`](crate::history::with_position).
    #[serde(rename = "user:msg")]
    Said {
        from: &'a str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        meta: Option<Scope>,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<&'a str>,
    },
    /// The answer to `since`: `count` messages follow, or a history and the `reason` why the messages cannot be replayed.
    #[serde(rename = "resumed")]
    Resumed {
        recovered: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    /// What was said is lost. A history follows.
    #[serde(rename = "lost")]
    Lost { reason: &'a str },
    #[serde(rename = "error")]
    Error { text: &'a str },
}

/// The receivers of a `user:msg`, if not everyone.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// The users on the speaker's Replica.
    Group,
    /// The user in `to`.
    Whisper,
    /// The users who have subscribed to `topic`.
    Topic,
}

/// The users of one Replica.
#[derive(Debug, Serialize)]
pub(crate) struct Users {
    pub(crate) replica: String,
    pub(crate) users: BTreeSet<ClientId>,
}

impl Output<'_> {
    /// The message with its time.
    pub(crate) fn at(&self, time: Timestamp) -> Result<Message, dog::Error> {
        #[derive(Serialize)]
        struct Timed<'a> {
            #[serde(flatten)]
            output: &'a Output<'a>,
            time: Timestamp,
        }
        Message::json(&Timed { output: self, time })
    }
}

/// The meaning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// `/a TEXT`, `/all TEXT`, or any text that is no command.
    All(&'a str),
    /// `/g TEXT` or `/group TEXT`.
    Group(&'a str),
    /// `/w NAME TEXT` or `/msg NAME TEXT`.
    Whisper { to: &'a str, text: &'a str },
    /// `/t TOPIC TEXT`.
    Topic { topic: &'a str, text: &'a str },
}

impl<'a> Command<'a> {
    /// Reads `text`. An incomplete command is an error that says why, so that half a whisper is not sent to everyone.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > MAX_TEXT {
            return Err("the text is too long: 16 KiB at most");
        }
        let text = text.trim();
        match first_word(text) {
            ("/g" | "/group", "") => Err("say what: /g TEXT"),
            ("/g" | "/group", text) => Ok(Self::Group(text)),
            ("/w" | "/msg", rest) => match first_word(rest) {
                (_, "") => Err("say whom and what: /w NAME TEXT"),
                (to, text) => Ok(Self::Whisper { to, text }),
            },
            ("/t", rest) => match first_word(rest) {
                (_, "") => Err("say about what: /t TOPIC TEXT"),
                (topic, text) => Ok(Self::Topic { topic, text }),
            },
            ("/a" | "/all", "") => Err("say what: /a TEXT"),
            ("/a" | "/all", text) => Ok(Self::All(text)),
            ("", _) => Err("say something: the text is empty"),
            _ => Ok(Self::All(text)),
        }
    }
}

/// The first word, and the rest after the following spaces.
fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_the_command_that_it_is() {
        for (text, command) in [
            ("hello there", Ok(Command::All("hello there"))),
            ("  hello  ", Ok(Command::All("hello"))),
            ("/a hello", Ok(Command::All("hello"))),
            ("/all  hello  you", Ok(Command::All("hello  you"))),
            ("/g hello", Ok(Command::Group("hello"))),
            ("/group\thello you", Ok(Command::Group("hello you"))),
            ("/w bob hello you", Ok(Command::Whisper { to: "bob", text: "hello you" })),
            ("/msg   bob   hello", Ok(Command::Whisper { to: "bob", text: "hello" })),
            ("/t cats hello you", Ok(Command::Topic { topic: "cats", text: "hello you" })),
            ("/tea", Ok(Command::All("/tea"))),
            ("/usr/bin/dog", Ok(Command::All("/usr/bin/dog"))),
            ("/ghost", Ok(Command::All("/ghost"))),
        ] {
            assert_eq!(Command::parse(text), command, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_not_said_aloud() {
        for text in ["", "   ", "/g", "/a ", "/w", "/w bob", "/msg bob  ", "/t", "/t cats", "/t cats  "] {
            assert!(Command::parse(text).is_err(), "{text:?}");
        }
        assert!(Command::parse(&"x".repeat(MAX_TEXT + 1)).is_err());
        assert!(Command::parse(&"x".repeat(MAX_TEXT)).is_ok());
    }

    #[test]
    fn every_message_of_the_server_carries_type_and_time() {
        let message = Output::Said { from: "ann", text: "hi", meta: Some(Scope::Group), to: None, topic: None };
        let message = message.at(Timestamp::from_millis(7)).unwrap();
        assert_eq!(
            message.to_json::<serde_json::Value>().unwrap(),
            serde_json::json!({ "type": "user:msg", "from": "ann", "text": "hi", "meta": "group", "time": 7 })
        );
    }

    #[test]
    fn further_fields_are_let_pass() {
        let text = r#"{"type":"req:connected","user":"ann","uid":"bob"}"#;
        assert!(matches!(Message::text(text).to_json(), Ok(Input::Connected)));
    }
}
