//! What goes with a request to its Replica: the identity from the App, the client's address, the chosen subprotocol.

use bytes::Bytes;
use dog::http::{Request, Response, StatusCode, header};

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Attached, Echo, Told};
use crate::check::{Outcome, ensure, same};
use crate::client::{self, Client};
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("identity_goes_with_the_request_and_stays_with_the_socket", &[13, 15], identity),
        scenario("identity_of_4_kib_arrives_beside_15_kib_of_headers", &[12], largest_identity),
        scenario("identity_over_4_kib_is_refused", &[12], too_large_identity),
        scenario("peer_address_is_the_clients_whatever_its_headers_say", &[15], peer_address)
            .needing(&[Capability::PeerAddress]),
        scenario("peer_address_is_what_the_front_says", &[], address_in_a_header),
        scenario("subprotocol_is_one_that_the_client_offers", &[], subprotocol),
        scenario("subprotocols_that_are_no_tokens_are_refused", &[], no_tokens),
    ]
}

/// MessagePack puts three bytes before a string of this length.
const LARGEST: usize = dog::MAX_IDENTITY - 3;

async fn echo(group: &TestGroup, client: &str, query: &str, headers: &[(&str, &str)]) -> Outcome<Response<Bytes>> {
    let path = format!("/anything?u={client}&forward={}{query}", group.name());
    let mut request = Request::get(path).header("host", "conformance");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client::send(group.entry(), request.body(Bytes::new())?).await
}

fn read(response: &Response<Bytes>) -> Outcome<Echo> {
    same(response.status(), StatusCode::NOT_FOUND, "the status of an echo")?;
    Ok(serde_json::from_slice(response.body())?)
}

/// Each socket has the identity with which its request came, on every node, after hibernation, and beside an attachment.
async fn identity(stage: Stage) -> Outcome {
    let group = stage.spread("single", "identity");
    let mut clients = Vec::new();
    for number in 0..4 {
        let name = format!("tagged-{number}");
        let path = format!("{}&as=user%20{number}", group.path("ws", &name));
        clients.push(Client::connect(group.entry(), &path, dog::ClientId::new(&name)?).await?);
        let response = echo(&group, &format!("other{number}"), &format!("&as=user%20{number}"), &[]).await?;
        same(read(&response)?.identity, Some(format!("user {number}")), "the identity of a request")?;
        let response = echo(&group, &format!("other{number}"), "", &[]).await?;
        same(read(&response)?.identity, None, "the identity of a request without one")?;
    }
    for round in 0..2 {
        for (number, client) in (0..).zip(&mut clients) {
            let value = Some(format!("user {number}"));
            same(client.ask(Act::Identity).await?, Told::Identity { value }, "the identity of a socket")?;
            let value = Attached { name: format!("tagged-{number}"), visits: round, ..Attached::default() };
            let attached = Told::Attachment { value: Some(value.clone()) };
            same(client.ask(Act::Attachment).await?, attached, "what is attached")?;
            client.obey(Act::Attach { value: Attached { visits: round + 1, ..value } }).await?;
        }
    }
    let mut plain = group.join("plain").await?;
    same(plain.ask(Act::Identity).await?, Told::Identity { value: None }, "the identity of a socket without one")?;
    for client in clients {
        client.leave().await?;
    }
    Ok(())
}

/// The client's headers are nearly as long as a native server takes by default, and with `Host` as many. The Replica may be on another node.
async fn largest_identity(stage: Stage) -> Outcome {
    let group = stage.spread("single", "largest");
    let _elsewhere = group.join_all("client", 4).await?;
    let value = "v".repeat(145);
    let names: Vec<String> = (0..99).map(|number| format!("x-{number}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    // The longest client makes the longest ticket.
    let longest = "c".repeat(dog::MAX_CLIENT_ID - 1);
    for number in 0..4 {
        let client = format!("{longest}{number}");
        let response = echo(&group, &client, &format!("&as_bytes={LARGEST}"), &headers).await?;
        let echo = read(&response)?;
        same(echo.identity.map(|identity| identity.len()), Some(LARGEST), "letters of the identity")?;
        ensure(names.iter().all(|name| echo.headers.iter().any(|(seen, _)| seen == name)), "a header was lost")?;
    }
    // With an attachment of the largest size, both stay with the socket.
    let path = format!("{}&as_bytes={LARGEST}", group.path("ws", "largest"));
    let mut client = Client::connect(group.entry(), &path, dog::ClientId::new("largest")?).await?;
    client.obey(Act::AttachBytes { length: dog::MAX_ATTACHMENT - 3 }).await?;
    let Told::Identity { value } = client.ask(Act::Identity).await? else {
        return same("another", "answer", "a reply");
    };
    same(value.map(|value| value.len()), Some(LARGEST), "letters of the identity")
}

/// One byte more is an error of the App. The seat is free again.
async fn too_large_identity(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "too-large");
    for _ in 0..3 {
        let response = echo(&group, "client", &format!("&as_bytes={}", LARGEST + 1), &[]).await?;
        same(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "the answer to an identity that is too large")?;
    }
    let first = read(&echo(&group, "client", "&as=x", &[]).await?)?;
    same(first.identity.as_deref(), Some("x"), "the identity after that")
}

/// Headers in which proxies and hosts put addresses.
const FORGED: [(&str, &str); 7] = [
    ("x-forwarded-for", "192.0.2.1"),
    ("x-real-ip", "192.0.2.1"),
    ("forwarded", "for=192.0.2.1"),
    ("cf-connecting-ip", "192.0.2.1"),
    ("true-client-ip", "192.0.2.1"),
    ("dog-head", "192.0.2.1"),
    ("dog-peer", "192.0.2.1"),
];

/// At the App, at the Group and at the Replica, on every node.
async fn peer_address(stage: Stage) -> Outcome {
    let group = stage.spread("single", "peer");
    let _elsewhere = group.join_all("client", 4).await?;
    for number in 0..4 {
        for (query, seen_by) in [("", "replica"), ("&to=group", "group")] {
            let echo = read(&echo(&group, &format!("other{number}"), query, &FORGED).await?)?;
            same(&*echo.seen_by, seen_by, "who saw it")?;
            ensure(
                echo.peer.is_some_and(|peer| peer.is_loopback()),
                format!("the peer of a client here: {:?}", echo.peer),
            )?;
        }
        let mut request = Request::get("/anything").header("host", "conformance");
        for (name, value) in FORGED {
            request = request.header(name, value);
        }
        let echo = read(&client::send(group.entry(), request.body(Bytes::new())?).await?)?;
        ensure(
            echo.peer.is_some_and(|peer| peer.is_loopback()),
            format!("the peer of a client here: {:?}", echo.peer),
        )?;
    }
    Ok(())
}

/// A host whose front puts the address into a header reads that header. Others ignore it.
async fn address_in_a_header(stage: Stage) -> Outcome {
    let group = stage.spread("single", "front");
    for query in ["", "&to=group"] {
        let response = echo(&group, "client", query, &[("cf-connecting-ip", "::ffff:192.0.2.7")]).await?;
        let peer = read(&response)?.peer;
        let is_known = peer.is_some_and(|peer| peer.is_loopback() || peer.to_string() == "192.0.2.7");
        ensure(is_known, format!("the peer of a request from the front: {peer:?}"))?;
    }
    Ok(())
}

async fn shake_hands(group: &TestGroup, query: &str, offers: &[&str]) -> Outcome<Response<Bytes>> {
    let mut request = Request::get(format!("{}{query}", group.path("ws", "client")))
        .header(header::HOST, "conformance")
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .header(header::SEC_WEBSOCKET_VERSION, "13");
    for offer in offers {
        request = request.header(header::SEC_WEBSOCKET_PROTOCOL, *offer);
    }
    client::send(group.entry(), request.body(Bytes::new())?).await
}

/// The response names the one that was chosen, and none if none was.
async fn subprotocol(stage: Stage) -> Outcome {
    let group = stage.spread("hall", "subprotocol");
    for (query, offers, status, named) in [
        ("&subprotocol=v2", &["v1, v2"][..], 101, Some("v2")),
        ("&subprotocol=v1", &["v1", "v2"], 101, Some("v1")),
        ("", &["v1"], 101, None),
        ("", &[], 101, None),
        ("&subprotocol=v3", &["v1, v2"], 400, None),
        ("&subprotocol=V1", &["v1"], 400, None),
        ("&subprotocol=v1", &[], 400, None),
    ] {
        let response = shake_hands(&group, query, offers).await?;
        let what = format!("the answer to {query:?} of {offers:?}");
        same(response.status().as_u16(), status, &what)?;
        let got = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|name| name.to_str().ok());
        same(got, named, &what)?;
    }
    Ok(())
}

async fn no_tokens(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "no-tokens");
    for offer in ["a b", "a/b", "a, \"b\"", "a, a", ","] {
        let response = shake_hands(&group, "", &[offer]).await?;
        same(response.status(), StatusCode::BAD_REQUEST, &format!("the answer to {offer:?}"))?;
    }
    let mut client = group.join("client").await?;
    same(client.report().await?.open, vec![client.id().clone()], "who is there")
}
