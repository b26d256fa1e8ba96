//! A client of the test App with an event stream: [`Events`].

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::http::Streamed;
use crate::check::{Outcome, ScenarioFailure, same};

/// One open event stream, or stream of lines.
pub struct Events {
    stream: Streamed,
    lines: bool,
    unread: Vec<u8>,
    heard: VecDeque<String>,
    close: Option<(u16, String)>,
}

impl Events {
    /// Requests `path`, which must be answered with an event stream.
    ///
    /// # Errors
    /// If there is none in time.
    pub(crate) async fn open(entry: SocketAddr, path: &str) -> Outcome<Self> {
        let stream = Streamed::open(entry, path).await?;
        let kind = stream.content_type().to_owned();
        let lines = kind.starts_with("application/x-ndjson");
        if !lines {
            same(kind.as_str(), "text/event-stream", "the content type of an event stream")?;
        }
        Ok(Self { stream, lines, unread: Vec::new(), heard: VecDeque::new(), close: None })
    }

    /// The next text.
    ///
    /// # Errors
    /// If none comes in time, or if the stream ends before.
    pub async fn hear(&mut self) -> Outcome<String> {
        while self.heard.is_empty() {
            if !self.read().await? {
                return Err(ScenarioFailure::new(format!("the event stream has ended: {:?}", self.close)));
            }
        }
        Ok(self.heard.pop_front().unwrap_or_default())
    }

    /// The texts before `last`.
    ///
    /// # Errors
    /// If `last` does not come in time.
    pub async fn hear_until(&mut self, last: &str) -> Outcome<Vec<String>> {
        let mut texts = Vec::new();
        loop {
            match self.hear().await? {
                text if text == last => return Ok(texts),
                text => texts.push(text),
            }
        }
    }

    /// Waits for the end of the stream. Returns the code and the reason of the last event, if it was a close.
    ///
    /// # Errors
    /// If the end does not come in time.
    pub async fn ended(&mut self) -> Outcome<Option<(u16, String)>> {
        while self.read().await? {}
        Ok(self.close.take())
    }

    /// Reads some bytes. Returns false at the end.
    async fn read(&mut self) -> Outcome<bool> {
        let Some(bytes) = self.stream.next_bytes().await? else { return Ok(false) };
        self.unread.extend_from_slice(&bytes);
        let end: &[u8] = if self.lines { b"\n" } else { b"\n\n" };
        while let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
            let event: Vec<u8> = self.unread.drain(..at + end.len()).collect();
            self.event(std::str::from_utf8(&event[..at])?)?;
        }
        Ok(true)
    }

    fn event(&mut self, event: &str) -> Outcome {
        if self.lines {
            if !event.is_empty() {
                self.heard.push_back(event.to_owned());
            }
            return Ok(());
        }
        let (mut name, mut data) = ("message", Vec::new());
        for line in event.split('\n') {
            match line.split_once(": ") {
                Some(("event", value)) => name = value,
                Some(("data", value)) => data.push(value),
                _ => {}
            }
        }
        match name {
            "close" => {
                let close: serde_json::Value = serde_json::from_str(&data.join("\n"))?;
                let code = close["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
                self.close = Some((code, close["reason"].as_str().unwrap_or_default().to_owned()));
            }
            _ if event.starts_with(':') => {}
            _ => self.heard.push_back(data.join("\n")),
        }
        Ok(())
    }
}
