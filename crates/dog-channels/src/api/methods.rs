//! What backends ask for, and what is done.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::body::{ApiAnswer, ApiChannel, ApiDisconnect, ApiNode, ApiReply, ApiRequest, ApiResult, MAX_API_COMMANDS};
use crate::channels::Channels;
use crate::messages::{NewChannelPublication, Published, SpeaksChannels, Target};
use crate::protocol::{Disconnect, ErrorCode, HistoryRequest};
use crate::server::ChannelServer;

/// Calls a method.
pub(super) async fn call<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    method: &str,
    request: ApiRequest,
) -> Result<ApiResult, ErrorCode> {
    if method != "batch" {
        return call_one(server, method, request).await;
    }
    if request.commands.len() > MAX_API_COMMANDS {
        return Err(ErrorCode::LIMIT_EXCEEDED);
    }
    let mut replies = Vec::with_capacity(request.commands.len());
    for command in request.commands {
        for (method, request) in command {
            let reply = match call_one(server, &method, request).await {
                Ok(result) => (method, ApiReply::Result(result)),
                Err(error) => ("error".to_owned(), ApiReply::Error(error.into())),
            };
            replies.push(BTreeMap::from([reply]));
        }
    }
    Ok(ApiResult::Batch { replies })
}

async fn call_one<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    method: &str,
    request: ApiRequest,
) -> Result<ApiResult, ErrorCode> {
    match method {
        "publish" => publish(server, &request, &request.channel).await,
        "broadcast" => broadcast(server, request).await,
        "subscribe" => {
            let info = request.info.as_ref().map(|info| bytes(info)).unwrap_or_default();
            server.subscribe(target(&request)?, &request.channel, info).await.map(|_| ApiResult::Done {})
        }
        "unsubscribe" => server.unsubscribe(target(&request)?, &request.channel).await.map(|_| ApiResult::Done {}),
        "disconnect" => {
            let (target, how) = (target(&request)?, disconnect(request.disconnect.as_ref())?);
            server.disconnect(target, request.whitelist, &how).await.map(|_| ApiResult::Done {})
        }
        "presence" => Ok(ApiResult::Presence { presence: server.presence(&request.channel).await? }),
        "presence_stats" => {
            let stats = server.presence_stats(&request.channel).await?;
            Ok(ApiResult::Stats { num_clients: stats.num_clients, num_users: stats.num_users })
        }
        "history" => history(server, request).await,
        "history_remove" => server.remove_history(&request.channel).await.map(|()| ApiResult::Done {}),
        "channels" => channels(server, &request.pattern).await,
        "info" => info(server).await,
        _ => Err(ErrorCode::METHOD_NOT_FOUND),
    }
}

async fn publish<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    request: &ApiRequest,
    channel: &str,
) -> Result<ApiResult, ErrorCode> {
    let new = NewChannelPublication {
        tags: request.tags.clone(),
        key: request.idempotency_key.clone(),
        skips_history: request.skip_history,
        ..NewChannelPublication::new(channel, data(request)?)
    };
    let Published { position, .. } = server.publish(new).await?;
    let (offset, epoch) = position.map_or_else(Default::default, |at| (at.offset(), at.epoch().as_str().to_owned()));
    Ok(ApiResult::Published { offset, epoch })
}

async fn broadcast<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    request: ApiRequest,
) -> Result<ApiResult, ErrorCode> {
    if request.channels.len() > MAX_API_COMMANDS {
        return Err(ErrorCode::LIMIT_EXCEEDED);
    }
    let mut responses = Vec::with_capacity(request.channels.len());
    for channel in &request.channels {
        responses.push(match publish(server, &request, channel).await {
            Ok(result) => ApiAnswer::Result(result),
            Err(error) => ApiAnswer::Error(error.into()),
        });
    }
    Ok(ApiResult::Broadcast { responses })
}

async fn history<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    request: ApiRequest,
) -> Result<ApiResult, ErrorCode> {
    let ApiRequest { channel, limit, since, reverse, .. } = request;
    let history = server.history(&HistoryRequest { channel, limit, since, reverse }).await?;
    Ok(ApiResult::History { publications: history.publications, epoch: history.epoch, offset: history.offset })
}

async fn channels<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    pattern: &str,
) -> Result<ApiResult, ErrorCode> {
    let all = server.channels().await?;
    let named = all.into_iter().filter(|(name, _)| pattern.is_empty() || matches(pattern.as_bytes(), name.as_bytes()));
    Ok(ApiResult::Channels { channels: named.map(|(name, num_clients)| (name, ApiChannel { num_clients })).collect() })
}

/// A cluster shows as one node: its clients do not know where they are.
async fn info<C: Channels, G: SpeaksChannels>(server: &ChannelServer<'_, C, G>) -> Result<ApiResult, ErrorCode> {
    let (count, num_channels) = (server.count().await?, server.channels().await?.len());
    Ok(ApiResult::Info {
        nodes: vec![ApiNode {
            uid: C::NAME.to_owned(),
            name: C::NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            num_clients: count.sockets,
            num_users: count.clients,
            num_channels,
        }],
    })
}

/// Whom a command means. A user that is not named would be everybody who is not known.
fn target(request: &ApiRequest) -> Result<Target, ErrorCode> {
    if request.user.is_empty() && request.client.is_empty() {
        return Err(ErrorCode::BAD_REQUEST);
    }
    Ok(Target { user: request.user.clone(), client: request.client.clone() })
}

fn disconnect(wanted: Option<&ApiDisconnect>) -> Result<Disconnect, ErrorCode> {
    let Some(ApiDisconnect { code, reason }) = wanted.filter(|wanted| wanted.code != 0) else {
        return Ok(Disconnect::FORCE_NO_RECONNECT);
    };
    let known = Disconnect::ALL.iter().find(|known| known.code() == *code).cloned();
    known.or_else(|| Disconnect::new(*code, reason.clone())).ok_or(ErrorCode::BAD_REQUEST)
}

/// What is published: JSON, or bytes in Base64.
fn data(request: &ApiRequest) -> Result<Bytes, ErrorCode> {
    match &request.data {
        Some(data) => Ok(bytes(data)),
        None if request.b64data.is_empty() => Err(ErrorCode::BAD_REQUEST),
        None => STANDARD.decode(&request.b64data).map(Bytes::from).map_err(|_| ErrorCode::BAD_REQUEST),
    }
}

fn bytes(json: &RawValue) -> Bytes {
    Bytes::copy_from_slice(json.get().as_bytes())
}

/// Whether a pattern with `*` (any text) and `?` (one byte) describes a name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on if the text of the last star has to be longer.
    let (mut at, mut in_name, mut star) = (0, 0, None);
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, in_name));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                at = after;
                in_name = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_describes_names() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("news", "news", true),
            ("news", "newsy", false),
            ("news:*", "news:a", true),
            ("news:*", "new:a", false),
            ("*:a*b", "x:aab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_command_names_a_user_or_a_connection() {
        assert_eq!(target(&ApiRequest::default()), Err(ErrorCode::BAD_REQUEST));
        let request: ApiRequest = serde_json::from_str(r#"{"user":"ann","client":"1"}"#).unwrap();
        assert_eq!(target(&request), Ok(Target { user: "ann".into(), client: "1".into() }));
    }

    #[test]
    fn a_close_has_a_code_that_clients_understand() {
        let code = |code| disconnect(Some(&ApiDisconnect { code, reason: "why".into() })).map(|how| how.code());
        assert_eq!(code(0), Ok(3503));
        assert_eq!(code(3011), Ok(3011));
        assert_eq!(code(4500), Ok(4500));
        assert_eq!(code(1000), Err(ErrorCode::BAD_REQUEST));
    }
}
