//! Versions, resumption, and clients that do it wrong.

use std::time::Duration;

use dog_test_support::certificates::Authority;
use dog_test_support::client::within;
use dog_test_support::tls::{self, BOTH};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common;
use crate::kit::{ask, start};

#[tokio::test]
async fn both_versions_are_spoken_and_sessions_resumed() {
    let server = start(|server| server).await;
    for (version, name) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let config = server.trusting(&[version]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = tls::connect(&config, server.address()).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(name));
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
            let response = ask(&mut stream).await;
            // The address is that of the client, as without TLS.
            assert!(response.starts_with("HTTP/1.1 200") && response.contains("127.0.0.1"), "{response}");
        }
    }
    server.counts("dog_tls_handshakes_total", 4.0).await;
    server.counts("dog_tls_resumed_total", 2.0).await;
    server.counts("dog_tls_handshakes_failed_total", 0.0).await;
    server.running.shutdown().await;
}

#[tokio::test]
async fn sessions_are_resumed_after_the_certificates_were_loaded_again() {
    let server = start(|server| server).await;
    let config = server.trusting(BOTH);
    ask(&mut tls::connect(&config, server.address()).await.unwrap()).await;
    server.running.reload_tls().unwrap();
    let stream = tls::connect(&config, server.address()).await.unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    server.running.shutdown().await;
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let server = start(|server| server.handshake_timeout(Duration::from_secs(1))).await;
    // Nothing at all, half a record, and TLS without a request.
    let silent = TcpStream::connect(server.address()).await.unwrap();
    let mut half = TcpStream::connect(server.address()).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
    let mut idle = tls::connect(&server.trusting(BOTH), server.address()).await.unwrap();
    for mut stream in [silent, half] {
        let end = within("the end", stream.read_to_end(&mut Vec::new())).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    let end = within("the end", idle.read_to_end(&mut Vec::new())).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    server.counts("dog_tls_handshakes_failed_total", 2.0).await;
    server.running.shutdown().await;
}

#[tokio::test]
async fn connections_that_do_no_handshake_count_for_their_address() {
    let server = start(|server| server.workers(1).max_sockets_per_address(1)).await;
    let silent = TcpStream::connect(server.address()).await.unwrap();
    // The one above is accepted first.
    let mut second = TcpStream::connect(server.address()).await.unwrap();
    let mut answer = String::new();
    within("the refusal", second.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(silent);
    server.running.shutdown().await;
}

#[tokio::test]
async fn a_request_without_tls_is_told_what_to_do() {
    let server = start(|server| server).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /?u=a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    server.counts("dog_tls_handshakes_failed_total", 1.0).await;
    server.running.shutdown().await;
}

#[tokio::test]
async fn an_attempt_to_speak_tls_without_it_ends_and_nobody_notices() {
    let (running, _) = common::start(|server| server).await;
    let authority = Authority::new();
    let config = tls::trusting(authority.root(), BOTH);
    assert!(within("the end", tls::connect(&config, running.local_addr())).await.is_err());
    common::connect(&running, "a", "r").await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_client_that_distrusts_the_certificate_counts_as_failed() {
    let server = start(|server| server).await;
    let other = Authority::new();
    let config = tls::trusting(other.root(), BOTH);
    assert!(tls::connect(&config, server.address()).await.is_err());
    server.counts("dog_tls_handshakes_failed_total", 1.0).await;
    server.running.shutdown().await;
}
