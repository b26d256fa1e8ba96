//! Which requests are refused, which are accepted, and which addresses the server listens on.

use crate::app::{ask, get, response, rest, start};

#[tokio::test]
async fn requests_that_the_standard_refuses_are_refused() {
    let (running, _) = start(|server| server).await;
    let cases = [
        ("GET /app HTTP/1.1\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET /app HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET http:///app HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (
            "POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST /app HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        ("POST /app HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx", 400),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx", 400),
        ("GET /app HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        ("GET /app HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n", 400),
    ];
    for (request, status) in cases {
        let mut stream = ask(running.local_addr(), request).await;
        // It is not certain where such a request ends, so the connection is closed after the response.
        let answer = String::from_utf8(rest(&mut stream).await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{request:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{request:?}: {answer}");
    }
    let taken = [
        ("GET /app HTTP/1.1\r\nhost:\r\n\r\n", " /app"),
        ("GET /app HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n", "[::1]:80 /app"),
        ("GET http://b:81/app?x HTTP/1.1\r\nhost: a\r\n\r\n", "b:81 /app?x"),
        ("POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", "a /app"),
    ];
    for (request, body) in taken {
        let mut stream = ask(running.local_addr(), request).await;
        let (head, got) = response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{request:?}: {head}");
        assert_eq!(String::from_utf8(got).unwrap(), body, "{request:?}");
    }
    let mut old = ask(running.local_addr(), "GET /app HTTP/1.0\r\n\r\n").await;
    let answer = String::from_utf8(rest(&mut old).await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("none /app"), "{answer}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_name_is_listened_on_at_all_its_addresses() {
    let (running, _) = start(|server| server.bind("localhost:0").admin("localhost:0")).await;
    let addresses = running.local_addrs();
    assert_eq!(addresses[0], running.local_addr());
    for address in addresses {
        assert_eq!(address.port(), running.local_addr().port());
        assert_eq!(response(&mut ask(*address, &get("/app")).await).await.1, b"test /app", "{address}");
    }
    running.shutdown().await;
}
