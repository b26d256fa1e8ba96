//! A server of channels in the test kit: what clients are told, across Replicas, lives and time.

mod kit;

use std::time::Duration;

use dog_channels::protocol::{Codec, HistoryRequest, StreamPosition};
use dog_channels::{ChannelGroup, NewChannelPublication, Target};
use kit::{Backend, Client, Hall, NAME, publish, start};
use serde_json::json;

#[test]
fn a_publication_reaches_the_subscribers_of_its_channel_on_every_replica_in_both_codecs() {
    let cluster = start(1);
    let ann = Client::connected(&cluster, Codec::Json, "ann");
    let bob = Client::connected(&cluster, Codec::Protobuf, "bob");
    let eve = Client::connected(&cluster, Codec::Json, "eve");
    assert_ne!(ann.replica(), bob.replica());
    for client in [&ann, &bob] {
        client.ask(json!({"subscribe": {"channel": "plain"}}));
    }
    eve.ask(json!({"subscribe": {"channel": "other"}}));
    assert_eq!(ann.ask(json!({"publish": {"channel": "plain", "data": {"n": 1}}})), json!({"publish": {}}));
    for client in [&ann, &bob] {
        let pushes = client.pushes();
        assert_eq!(pushes[0]["pub"]["data"], json!({"n": 1}));
        assert_eq!(pushes[0]["pub"]["info"]["user"], "ann");
        assert_eq!(pushes.len(), 1);
    }
    assert!(eve.pushes().is_empty());
}

#[test]
fn publications_have_offsets_and_who_comes_back_gets_what_it_has_missed() {
    let cluster = start(1);
    let ann = Client::connected(&cluster, Codec::Json, "ann");
    let subscribed = ann.ask(json!({"subscribe": {"channel": "kept:a", "recoverable": true}}));
    assert_eq!(subscribed["subscribe"]["recoverable"], true);
    let epoch = subscribed["subscribe"]["epoch"].as_str().unwrap().to_owned();
    publish(&cluster, "kept:a", "1");
    publish(&cluster, "kept:a", "2");
    assert_eq!(ann.offsets(), [1, 2]);
    ann.leave();
    publish(&cluster, "kept:a", "3");
    publish(&cluster, "kept:a", "4");
    let back = Client::connected(&cluster, Codec::Json, "ann");
    let since = json!({"channel": "kept:a", "recover": true, "recoverable": true, "epoch": epoch, "offset": 2});
    let recovered = back.ask(json!({ "subscribe": since }));
    assert_eq!(recovered["subscribe"]["recovered"], true, "{recovered}");
    assert_eq!(recovered["subscribe"]["offset"], 2);
    publish(&cluster, "kept:a", "5");
    assert_eq!(back.offsets(), [3, 4, 5]);
}

#[test]
fn who_cannot_recover_is_told_so_and_goes_on_from_the_newest() {
    let cluster = start(10);
    let ann = Client::connected(&cluster, Codec::Protobuf, "ann");
    ann.ask(json!({"subscribe": {"channel": "kept:a", "recoverable": true}}));
    publish(&cluster, "kept:a", "1");
    let restart = |since: serde_json::Value| {
        let client = Client::connected(&cluster, Codec::Protobuf, "bob");
        client.ask(json!({ "subscribe": since }))
    };
    let asks = |epoch: &str, offset: u64, flag: u64| json!({"channel": "kept:a", "recover": true, "recoverable": true, "epoch": epoch, "offset": offset, "flag": flag});
    for (epoch, offset, flag) in [("another", 1, 0), ("not an epoch!", 1, 0), ("", 0, 1)] {
        let reply = restart(asks(epoch, offset, flag));
        assert_eq!(reply["subscribe"]["was_recovering"], true, "{reply}");
        assert_eq!(reply["subscribe"]["recovered"], json!(null));
        assert_eq!(reply["subscribe"]["offset"], 1);
    }
    assert_eq!(restart(asks("another", 1, 2))["error"]["code"], 112);
}

#[test]
fn a_log_that_begins_again_makes_its_subscribers_come_again() {
    let cluster = start(10);
    let ann = Client::connected(&cluster, Codec::Json, "ann");
    ann.ask(json!({"subscribe": {"channel": "kept:a", "recoverable": true}}));
    publish(&cluster, "kept:a", "1");
    assert_eq!(ann.offsets(), [1]);
    assert!(cluster.restart_group::<ChannelGroup<Hall>>(NAME));
    publish(&cluster, "kept:a", "2");
    cluster.advance(Duration::from_secs(2));
    let pushes = ann.pushes();
    assert!(pushes.iter().any(|push| push["unsubscribe"]["code"] == 2500), "{pushes:?}");
    let again = ann.ask(json!({"subscribe": {"channel": "kept:a", "recoverable": true}}));
    assert_eq!(again["subscribe"]["offset"], 1);
    publish(&cluster, "kept:a", "3");
    assert_eq!(ann.offsets(), [2]);
}

#[test]
fn the_history_is_read_in_pages_in_both_directions() {
    let cluster = start(10);
    for number in 1..=5 {
        publish(&cluster, "kept:a", &number.to_string());
    }
    let backend = Backend::new(&cluster);
    let page = |limit, since: Option<(&str, u64)>, reverse| {
        let since = since.map(|(epoch, offset)| StreamPosition { epoch: epoch.into(), offset });
        let request = HistoryRequest { channel: "kept:a".into(), limit, since, reverse };
        cluster.wait_for(backend.server().history(&request))
    };
    let offsets = |page: dog_channels::protocol::HistoryResult| {
        page.publications.iter().map(|publication| publication.offset).collect::<Vec<_>>()
    };
    let head = page(0, None, false).unwrap();
    assert_eq!((head.offset, head.publications.len()), (5, 0));
    assert_eq!(offsets(page(-1, None, false).unwrap()), [1, 2, 3, 4, 5]);
    assert_eq!(offsets(page(2, None, true).unwrap()), [5, 4]);
    assert_eq!(offsets(page(2, Some((&head.epoch, 2)), false).unwrap()), [3, 4]);
    assert_eq!(offsets(page(9, Some(("", 3)), true).unwrap()), [2, 1]);
    assert_eq!(page(2, Some(("another", 1)), false).unwrap_err().code(), 112);
}

#[test]
fn a_publication_that_is_repeated_with_its_key_is_published_once() {
    let cluster = start(10);
    let backend = Backend::new(&cluster);
    let ann = Client::connected(&cluster, Codec::Json, "ann");
    ann.ask(json!({"subscribe": {"channel": "kept:a"}}));
    let new = NewChannelPublication { key: "k".into(), ..NewChannelPublication::new("kept:a", "1") };
    let first = cluster.wait_for(backend.server().publish(new.clone())).unwrap();
    let second = cluster.wait_for(backend.server().publish(new)).unwrap();
    assert_eq!(first, second);
    publish(&cluster, "kept:a", "2");
    assert_eq!(ann.offsets(), [1, 2]);
}

#[test]
fn presence_is_exact_across_replicas_and_users_that_are_not_known_count_as_one() {
    let cluster = start(1);
    let clients: Vec<_> =
        ["ann", "ann", "bob", "", ""].into_iter().map(|user| Client::connected(&cluster, Codec::Json, user)).collect();
    for client in &clients {
        client.ask(json!({"subscribe": {"channel": "seen:a"}}));
    }
    let stats =
        |client: &Client<'_>| client.ask(json!({"presence_stats": {"channel": "seen:a"}}))["presence_stats"].clone();
    assert_eq!(stats(&clients[0]), json!({"num_clients": 5, "num_users": 3}));
    let presence = clients[2].ask(json!({"presence": {"channel": "seen:a"}}))["presence"]["presence"].clone();
    assert_eq!(presence.as_object().unwrap().len(), 5);
    clients[1].leave();
    clients[3].ask(json!({"unsubscribe": {"channel": "seen:a"}}));
    assert_eq!(stats(&clients[0]), json!({"num_clients": 3, "num_users": 3}));
}

#[test]
fn who_wants_it_hears_who_comes_and_goes() {
    let cluster = start(1);
    let ann = Client::connected(&cluster, Codec::Protobuf, "ann");
    ann.ask(json!({"subscribe": {"channel": "seen:a", "join_leave": true}}));
    let bob = Client::connected(&cluster, Codec::Json, "bob");
    bob.ask(json!({"subscribe": {"channel": "seen:a"}}));
    cluster.run();
    let kinds = |client: &Client<'_>| {
        let heard = client.pushes().into_iter().map(|push| {
            let kind = if push["join"].is_null() { "leave" } else { "join" };
            format!("{kind} {}", push[kind]["info"]["user"].as_str().unwrap_or_default())
        });
        heard.collect::<Vec<_>>()
    };
    assert_eq!(kinds(&ann), ["join ann", "join bob"]);
    bob.leave();
    cluster.run();
    assert_eq!(kinds(&ann), ["leave bob"]);
    assert!(bob.pushes().is_empty());
}

#[test]
fn the_server_subscribes_clients_before_they_know_that_they_are_connected() {
    let cluster = start(1);
    publish(&cluster, "kept:own", "1");
    let client = Client::open(&cluster, Codec::Json);
    let reply = client.ask(json!({"connect": {"token": "ann own"}}));
    let subscribed = &reply["connect"]["subs"]["kept:own"];
    assert_eq!((&subscribed["offset"], &subscribed["recoverable"]), (&json!(1), &json!(true)));
    let epoch = subscribed["epoch"].clone();
    publish(&cluster, "kept:own", "2");
    assert_eq!(client.offsets(), [2]);
    client.leave();
    publish(&cluster, "kept:own", "3");
    let back = Client::open(&cluster, Codec::Json);
    let subs = json!({"kept:own": {"recover": true, "epoch": epoch, "offset": 2}});
    let reply = back.ask(json!({"connect": {"token": "ann own", "subs": subs}}));
    assert_eq!(reply["connect"]["subs"]["kept:own"]["recovered"], true);
    assert_eq!(back.offsets(), [3]);
}

#[test]
fn backends_subscribe_unsubscribe_and_disconnect_the_connections_of_a_user() {
    let cluster = start(1);
    let backend = Backend::new(&cluster);
    let clients: Vec<_> =
        ["ann", "ann", "bob"].into_iter().map(|user| Client::connected(&cluster, Codec::Json, user)).collect();
    let user = || Target { user: "ann".into(), client: String::new() };
    let done = cluster.wait_for(backend.server().subscribe(user(), "kept:own", "{}".into())).unwrap();
    assert_eq!(done, 2);
    publish(&cluster, "kept:own", "1");
    for client in &clients[..2] {
        let pushes = client.pushes();
        assert_eq!(pushes[0]["subscribe"]["recoverable"], true, "{pushes:?}");
        assert_eq!(pushes[1]["pub"]["offset"], 1);
    }
    let one = Target { user: "ann".into(), client: clients[0].id() };
    assert_eq!(cluster.wait_for(backend.server().unsubscribe(one, "kept:own")), Ok(1));
    assert_eq!(clients[0].pushes()[0]["unsubscribe"]["code"], 2000);
    let banned = dog_channels::protocol::Disconnect::new(4500, "banned").unwrap();
    let except = vec![clients[0].id()];
    assert_eq!(cluster.wait_for(backend.server().disconnect(user(), except, &banned)), Ok(1));
    assert_eq!(clients[1].closed(), Some(4500));
    assert!(clients[0].is_open() && clients[2].is_open());
    assert!(clients[2].pushes().is_empty());
}

#[test]
fn who_breaks_the_protocol_is_disconnected_with_its_code() {
    let cluster = start(100);
    let connected = || Client::connected(&cluster, Codec::Json, "ann");
    for (client, frame) in [
        (Client::open(&cluster, Codec::Json), r#"{"id":1,"subscribe":{"channel":"plain"}}"#.to_owned()),
        (Client::open(&cluster, Codec::Json), "nonsense".to_owned()),
        (connected(), r#"{"id":2,"connect":{}}"#.to_owned()),
        (connected(), "{}".to_owned()),
        (connected(), r#"{"id":2}"#.to_owned()),
        (connected(), r#"{"id":2,"publish":{"data":1}}"#.to_owned()),
        (connected(), "{}\n".repeat(10_000)),
        (connected(), format!(r#"{{"id":2,"rpc":{{"data":"{}"}}}}"#, "x".repeat(70_000))),
    ] {
        client.send_raw(&frame);
        assert_eq!(client.closed(), Some(3501), "{frame:.80}");
    }
    let stale = Client::open(&cluster, Codec::Json);
    cluster.advance(Duration::from_secs(12));
    assert_eq!(stale.closed(), Some(3502));
    let talker = connected();
    talker.send_raw(r#"{"send":{"data":1}}"#);
    assert_eq!(talker.closed(), Some(3508), "nobody takes messages here");
}

#[test]
fn what_may_not_be_is_answered_with_the_code_of_the_protocol() {
    let cluster = start(100);
    let ann = Client::connected(&cluster, Codec::Json, "ann");
    ann.ask(json!({"subscribe": {"channel": "plain"}}));
    for (request, code) in [
        (json!({"subscribe": {"channel": "plain"}}), 105),
        (json!({"subscribe": {"channel": "unknown:a"}}), 102),
        (json!({"subscribe": {"channel": "x".repeat(256)}}), 107),
        (json!({"subscribe": {"channel": "map", "type": 1}}), 108),
        (json!({"subscribe": {"channel": "map", "tf": {"op": "and"}}}), 107),
        (json!({"subscribe": {"channel": "forbidden"}}), 103),
        (json!({"publish": {"channel": "unknown:a", "data": 1}}), 102),
        (json!({"history": {"channel": "plain"}}), 108),
        (json!({"presence": {"channel": "plain"}}), 108),
        (json!({"rpc": {"method": "none"}}), 108),
        (json!({"ping": {}}), 108),
        (json!({"refresh": {"token": "t"}}), 108),
        (json!({"sub_refresh": {"channel": "other", "token": "t"}}), 103),
    ] {
        assert_eq!(ann.ask(request.clone())["error"]["code"], code, "{request}");
    }
    for number in 1..128 {
        let reply = ann.ask(json!({"subscribe": {"channel": format!("plain:{number}")}}));
        assert!(reply["error"].is_null(), "{number}: {reply}");
    }
    assert_eq!(ann.ask(json!({"subscribe": {"channel": "plain:128"}}))["error"]["code"], 106);
    assert!(ann.is_open());
}

#[test]
fn a_client_that_does_not_answer_pings_is_disconnected() {
    let cluster = start(10);
    let (good, silent) =
        (Client::connected(&cluster, Codec::Json, "ann"), Client::connected(&cluster, Codec::Protobuf, "bob"));
    for _ in 0..3 {
        cluster.advance(Duration::from_secs(26));
        good.pong();
    }
    cluster.advance(Duration::from_secs(10));
    assert_eq!(silent.closed(), Some(3012));
    assert!(good.is_open());
}

#[test]
fn what_is_no_json_reaches_those_who_speak_protobuf_and_disconnects_the_others() {
    for channel in ["plain", "kept:a"] {
        let cluster = start(1);
        let text = Client::connected(&cluster, Codec::Json, "ann");
        let binary = Client::connected(&cluster, Codec::Protobuf, "bob");
        let elsewhere = Client::connected(&cluster, Codec::Json, "eve");
        for client in [&text, &binary] {
            client.ask(json!({"subscribe": {"channel": channel}}));
        }
        let backend = Backend::new(&cluster);
        let new = NewChannelPublication::new(channel, vec![0xff, 0xfe]);
        cluster.wait_for(backend.server().publish(new)).unwrap();
        assert_eq!(text.closed(), Some(3506));
        assert_eq!(binary.payloads(), [vec![0xff, 0xfe]]);
        assert!(elsewhere.is_open());
    }
}

#[test]
fn a_replica_that_does_not_answer_makes_presence_fail_instead_of_lie() {
    let cluster = start(1);
    let ann = Client::connected(&cluster, Codec::Json, "ann");
    let bob = Client::connected(&cluster, Codec::Json, "bob");
    for client in [&ann, &bob] {
        client.ask(json!({"subscribe": {"channel": "seen:a"}}));
    }
    cluster.cut_off_replica(bob.replica());
    let reply = ann.ask(json!({"presence": {"channel": "seen:a"}}));
    assert_eq!((&reply["error"]["code"], &reply["error"]["temporary"]), (&json!(100), &json!(true)));
}
