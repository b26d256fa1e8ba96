//! The codecs: whatever a client sends, nothing panics; whatever is written is read as the same.

use bytes::Bytes;
use dog_channels::protocol::{
    ChannelPublication, ClientCommand, ClientInfo, Codec, CommandError, ConnectRequest, ConnectResult, Disconnect,
    ErrorCode, FrameError, HistoryRequest, HistoryResult, Join, MAX_CHANNEL, MAX_COMMANDS, MAX_FRAME, NotJson,
    PresenceResult, PresenceStatsResult, PublishRequest, Push, RpcRequest, RpcResult, SendRequest, ServerReply,
    StreamPosition, SubRefreshRequest, SubscribeRequest, SubscribeResult, UnsubscribePush, Unsubscribed, check_channel,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const CODECS: [Codec; 2] = [Codec::Json, Codec::Protobuf];

/// JSON on one line, as a client writes it.
fn payload() -> impl Strategy<Value = Bytes> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            inner.prop_map(|value| format!("{{\"a\": {value}}}")),
        ]
    });
    prop_oneof![Just(Bytes::new()), value.prop_map(Bytes::from)]
}

prop_compose! {
    fn subscribe()(
        channel in any::<String>(), token in any::<String>(), epoch in any::<String>(), offset in any::<u64>(),
        flags in any::<[bool; 4]>(), data in payload(), kind in any::<i32>(), flag in any::<i64>(),
    ) -> SubscribeRequest {
        let [recover, positioned, recoverable, join_leave] = flags;
        SubscribeRequest {
            channel, token, recover, epoch, offset, data, positioned, recoverable, join_leave, kind, flag,
            ..SubscribeRequest::default()
        }
    }
}

prop_compose! {
    fn connect()(
        token in any::<String>(), data in payload(), subs in btree_map(any::<String>(), subscribe(), 0..3),
        name in any::<String>(), headers in btree_map(any::<String>(), any::<String>(), 0..3),
    ) -> ConnectRequest {
        ConnectRequest { token, data, subs, name, headers, ..ConnectRequest::default() }
    }
}

fn command() -> impl Strategy<Value = ClientCommand> {
    let request = prop_oneof![
        Just(ClientCommand::default()),
        connect().prop_map(|connect| ClientCommand { connect: Some(Box::new(connect)), ..ClientCommand::default() }),
        subscribe()
            .prop_map(|subscribe| ClientCommand { subscribe: Some(Box::new(subscribe)), ..ClientCommand::default() }),
        (any::<String>(), payload()).prop_map(|(channel, data)| ClientCommand {
            publish: Some(PublishRequest { channel, data, kind: 0 }),
            ..ClientCommand::default()
        }),
        (any::<String>(), any::<i32>(), any::<Option<(u64, String)>>(), any::<bool>()).prop_map(
            |(channel, limit, since, reverse)| {
                let since = since.map(|(offset, epoch)| StreamPosition { offset, epoch });
                ClientCommand {
                    history: Some(HistoryRequest { channel, limit, since, reverse }),
                    ..ClientCommand::default()
                }
            }
        ),
        (any::<String>(), payload()).prop_map(|(method, data)| ClientCommand {
            rpc: Some(RpcRequest { data, method }),
            send: Some(SendRequest::default()),
            sub_refresh: Some(SubRefreshRequest::default()),
            ..ClientCommand::default()
        }),
    ];
    (any::<u32>(), request).prop_map(|(id, command)| ClientCommand { id, ..command })
}

prop_compose! {
    fn publication()(
        data in payload(), user in any::<String>(), info in payload(), offset in any::<u64>(), time in any::<i64>(),
        tags in btree_map(any::<String>(), any::<String>(), 0..3),
    ) -> ChannelPublication {
        let info = Some(ClientInfo { user, conn_info: info, ..ClientInfo::default() });
        ChannelPublication { data, info, offset, time, tags, ..ChannelPublication::default() }
    }
}

fn reply() -> impl Strategy<Value = ServerReply> {
    let result = prop_oneof![
        Just(ServerReply::default()),
        (any::<u32>(), any::<String>(), any::<bool>()).prop_map(|(code, message, temporary)| ServerReply {
            error: Some(CommandError { code, message, temporary }),
            ..ServerReply::default()
        }),
        (vec(publication(), 0..3), any::<String>(), any::<[bool; 3]>()).prop_map(
            |(publications, epoch, [recovered, recoverable, positioned])| {
                let subscribed = SubscribeResult {
                    publications,
                    epoch,
                    recovered,
                    recoverable,
                    positioned,
                    ..SubscribeResult::default()
                };
                let subs = [("a".to_owned(), subscribed.clone())].into();
                ServerReply {
                    subscribe: Some(Box::new(subscribed)),
                    connect: Some(Box::new(ConnectResult { subs, pong: recovered, ..ConnectResult::default() })),
                    ..ServerReply::default()
                }
            }
        ),
        (any::<String>(), publication()).prop_map(|(channel, publication)| {
            let join = publication.info.clone().map(|info| Join { info: Some(info) });
            let push = Push { channel, publication: Some(publication), join, ..Push::default() };
            ServerReply { push: Some(Box::new(push)), ..ServerReply::default() }
        }),
        (vec(publication(), 0..3), payload()).prop_map(|(publications, data)| ServerReply {
            history: Some(HistoryResult { publications, ..HistoryResult::default() }),
            rpc: Some(RpcResult { data }),
            presence: Some(PresenceResult { presence: [("c".to_owned(), ClientInfo::default())].into() }),
            ..ServerReply::default()
        }),
    ];
    (any::<u32>(), result).prop_map(|(id, reply)| ServerReply { id, ..reply })
}

proptest! {
    #[test]
    fn what_a_client_writes_is_read_as_the_same(commands in vec(command(), 1..6)) {
        for codec in CODECS {
            let frame = codec.write_commands(&commands).unwrap();
            if frame.len() <= MAX_FRAME {
                prop_assert_eq!(&codec.commands(&frame).unwrap(), &commands);
            }
        }
    }

    #[test]
    fn what_a_server_writes_is_read_as_the_same(replies in vec(reply(), 1..6)) {
        for codec in CODECS {
            let frame = codec.replies(&replies).unwrap();
            prop_assert_eq!(&codec.read_replies(&frame).unwrap(), &replies);
        }
    }

    #[test]
    fn a_frame_of_any_bytes_is_refused_or_means_the_same_when_it_is_written_again(
        frame in vec(any::<u8>(), 0..300), text in "[{}\\[\\]\":,0-9a-z\n]{0,80}"
    ) {
        for codec in CODECS {
            for frame in [&frame[..], text.as_bytes()] {
                if let Ok(commands) = codec.commands(frame) {
                    let again = codec.write_commands(&commands).unwrap();
                    prop_assert_eq!(codec.commands(&again).unwrap(), commands);
                }
                let _ = codec.read_replies(frame);
            }
        }
    }

    #[test]
    fn a_frame_that_is_cut_or_changed_never_panics(
        commands in vec(command(), 1..4), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        for codec in CODECS {
            let mut frame = codec.write_commands(&commands).unwrap().to_vec();
            let at = at.index(frame.len());
            let _ = codec.commands(&frame[..at]);
            frame[at] = byte;
            let _ = codec.commands(&frame);
        }
    }
}

#[test]
fn a_frame_over_a_bound_is_refused() {
    for codec in CODECS {
        let many = vec![ClientCommand::default(); MAX_COMMANDS + 1];
        assert_eq!(codec.commands(&codec.write_commands(&many[1..]).unwrap()).unwrap().len(), MAX_COMMANDS);
        assert_eq!(codec.commands(&codec.write_commands(&many).unwrap()), Err(FrameError::TooMany));
        assert_eq!(codec.commands(&vec![b' '; MAX_FRAME + 1]), Err(FrameError::TooLarge));
        assert_eq!(codec.commands(b""), Err(FrameError::Empty));
    }
}

#[test]
fn lines_are_separated_by_one_line_feed_and_one_may_follow_the_last() {
    let ids = |frame: &str| {
        let commands = Codec::Json.commands(frame.as_bytes())?;
        Ok(commands.iter().map(|command| command.id).collect::<Vec<_>>())
    };
    assert_eq!(ids("{\"id\":1}\n{\"id\":2}\n"), Ok(vec![1, 2]));
    assert_eq!(ids("{}"), Ok(vec![0]));
    for malformed in
        ["\n", "{}\n\n{}", "{}\n\n", "[]", "{\"id\":-1}", "{\"id\":1} x", "{\"id\":1,\"publish\":{\"data\":}}"]
    {
        assert_eq!(ids(malformed), Err(FrameError::Malformed), "{malformed:?}");
    }
}

#[test]
fn what_is_not_known_is_skipped() {
    let frame = br#"{"id":7,"later":{"x":[1]},"subscribe":{"channel":"a","tf":{"op":"and"},"new":null}}"#;
    let commands = Codec::Json.commands(frame).unwrap();
    let subscribe = commands[0].subscribe.as_ref().unwrap();
    assert_eq!((commands[0].id, subscribe.channel.as_str()), (7, "a"));
    assert_eq!(&subscribe.tf[..], br#"{"op":"and"}"#);
    // Field 31 of a message, a varint.
    let frame = [5, 8, 7, 0xf8, 0x01, 1];
    assert_eq!(Codec::Protobuf.commands(&frame).unwrap(), [ClientCommand { id: 7, ..ClientCommand::default() }]);
}

#[test]
fn the_bytes_are_those_of_the_protocol() {
    let publication =
        ChannelPublication { data: Bytes::from_static(b"{\"n\":1}"), offset: 3, ..ChannelPublication::default() };
    let push = Push { channel: "a".into(), publication: Some(publication), ..Push::default() };
    let reply = ServerReply { push: Some(Box::new(push)), ..ServerReply::default() };
    let json = Codec::Json.replies(&[reply.clone(), ServerReply::default()]).unwrap();
    assert_eq!(&json[..], b"{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":{\"n\":1},\"offset\":3}}}\n{}");
    // push = 4: { channel = 2: "a", pub = 4: { data = 4: …, offset = 6: 3 } }, and a ping, which is empty.
    let protobuf = b"\x12\x22\x10\x12\x01a\x22\x0b\x22\x07{\"n\":1}\x30\x03\x00";
    assert_eq!(&Codec::Protobuf.replies(&[reply, ServerReply::default()]).unwrap()[..], protobuf);
}

#[test]
fn a_payload_that_is_no_json_goes_to_those_who_speak_protobuf_alone() {
    let rpc =
        |data: &'static [u8]| ServerReply { rpc: Some(RpcResult { data: data.into() }), ..ServerReply::default() };
    for payload in [&b"\xff\xfe"[..], b"{", b"1 2", b"x"] {
        assert_eq!(Codec::Json.replies(&[rpc(payload)]), Err(NotJson));
        assert!(Codec::Protobuf.replies(&[rpc(payload)]).is_ok());
    }
    let lines = Codec::Json.replies(&[rpc(b"{\n \"a\": \"b\\n\"\n}")]).unwrap();
    assert_eq!(&lines[..], br#"{"rpc":{"data":{ "a": "b\n"}}}"#);
}

#[test]
fn names_of_channels_have_a_bound_and_no_control_characters() {
    assert!(check_channel(&"c".repeat(MAX_CHANNEL)).is_ok());
    assert!(check_channel("news:ünï#1,2").is_ok());
    for name in ["", "a\nb", "a\u{7f}", &"c".repeat(MAX_CHANNEL + 1)] {
        assert!(check_channel(name).is_err(), "{name:?}");
    }
}

#[test]
fn each_code_stands_once_and_says_whether_the_client_comes_back() {
    let errors: Vec<_> = ErrorCode::ALL.iter().map(ErrorCode::code).collect();
    assert_eq!(errors, (100..=112).collect::<Vec<_>>());
    let temporary = ErrorCode::ALL.iter().filter(|error| error.is_temporary()).map(ErrorCode::code);
    assert_eq!(temporary.collect::<Vec<_>>(), [100, 111]);
    let disconnects: Vec<_> = Disconnect::ALL.iter().map(Disconnect::code).collect();
    assert!(disconnects.is_sorted_by(|a, b| a < b));
    assert!(Disconnect::ALL.iter().all(|disconnect| disconnect.comes_back() == (disconnect.code() < 3500)));
    assert!(Disconnect::ALL.iter().all(|disconnect| disconnect.reason().len() <= 123));
    let push = UnsubscribePush::from(Unsubscribed::INSUFFICIENT_STATE);
    assert_eq!((push.code, push.reason.as_str()), (2500, "insufficient state"));
    assert!(Unsubscribed::EXPIRED.comes_back() && !Unsubscribed::SERVER.comes_back());
    assert!(Unsubscribed::new(2500, "").is_none() && Unsubscribed::new(2600, "full").is_some());
}

#[test]
fn counts_and_lists_are_in_json_although_they_are_empty() {
    let reply = ServerReply {
        presence: Some(PresenceResult::default()),
        presence_stats: Some(PresenceStatsResult::default()),
        history: Some(HistoryResult::default()),
        ..ServerReply::default()
    };
    let frame = Codec::Json.replies(&[reply]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&frame).unwrap();
    let expected = serde_json::json!({
        "presence": {"presence": {}},
        "presence_stats": {"num_clients": 0, "num_users": 0},
        "history": {"publications": [], "epoch": "", "offset": 0},
    });
    assert_eq!(json, expected);
}
