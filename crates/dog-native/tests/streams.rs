//! Streamed responses at the shutdown of the server: promise 16.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Polled, Poll};
use std::time::Duration;

use bytes::Bytes;
use dog::http::HeaderValue;
use dog::http::header::CONTENT_TYPE;
use dog::{App, Body, ClientId, Context, Dog, Group, GroupContext, Limit, Replica, Request, Response, Result};
use dog_native::{Running, Server};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

struct Feed(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, polled: &mut Polled<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(polled).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

struct Studio;

impl App for Studio {
    type Groups = (Channel,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let channel = dog.group::<Channel>("news");
        Ok(channel.identify(&ClientId::new("listener")?).await?.fetch(request).await?)
    }
}

struct Channel;

impl Group for Channel {
    type Replica = Speaker;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "channel";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(500)
    }
}

struct Speaker;

impl Replica for Speaker {
    type Group = Channel;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    /// `/polite` says goodbye when the server shuts down. The other paths stream without end.
    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let polite = request.uri().path() == "/polite";
        let kind = if request.uri().path() == "/file" { "application/octet-stream" } else { "text/event-stream" };
        sender.send(Bytes::from_static(b"hello\n\n"))?;
        let cx = cx.clone();
        tokio::task::spawn_local(async move {
            if polite {
                cx.stopping().await;
                let _ = sender.send(Bytes::from_static(b"goodbye\n\n"));
            } else {
                sender.closed().await;
            }
        });
        let mut response = Response::new(Body::stream(Feed(receiver)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(response)
    }
}

async fn start(within: Duration) -> Running {
    let server = Server::new(Studio).bind("127.0.0.1:0").workers(2).drain_within(within);
    server.close_timeout(Duration::from_secs(5)).start().await.unwrap()
}

/// Reads until the text ends with `until`, or to the end of the stream if `until` is empty.
async fn read(stream: &mut TcpStream, until: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(until) || until.is_empty() {
            let mut some = [0; 1024];
            match stream.read(&mut some).await {
                Ok(0) | Err(_) => break,
                Ok(length) => text.push_str(std::str::from_utf8(&some[..length]).unwrap()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("in time");
    text
}

async fn listen(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read(&mut stream, "hello\n\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream
}

/// The last chunk of a complete response.
const COMPLETE: &str = "0\r\n\r\n";

#[tokio::test]
async fn streams_end_with_the_server() {
    let running = start(Duration::from_millis(500)).await;
    let address = running.local_addr();
    let mut polite = listen(address, "/polite").await;
    let mut endless = listen(address, "/endless").await;
    let mut file = listen(address, "/file").await;
    let reading = async { tokio::join!(read(&mut polite, ""), read(&mut endless, ""), read(&mut file, "")) };
    let ends = async { tokio::join!(reading, running.shutdown()) };
    let ((polite, endless, file), ()) = tokio::time::timeout(PATIENCE, ends).await.expect("the server ends");
    assert!(polite.contains("goodbye") && polite.ends_with(COMPLETE), "{polite}");
    assert_eq!(endless, COMPLETE, "an event stream is completed, so that its client connects again");
    assert_eq!(file, "", "a file that is cut off does not look complete");
}

#[tokio::test]
async fn a_stream_is_told_of_the_end_before_its_turn_has_come() {
    // The drain may take an hour, so nothing ends by itself during this test.
    let running = start(Duration::from_secs(3600)).await;
    let address = running.local_addr();
    let mut file = listen(address, "/file").await;
    let mut polite = listen(address, "/polite").await;
    let end = tokio::spawn(running.shutdown());
    let goodbye = read(&mut polite, "").await;
    assert!(goodbye.contains("goodbye") && goodbye.ends_with(COMPLETE), "{goodbye}");
    let mut one = [0; 1];
    assert!(
        tokio::time::timeout(Duration::from_millis(50), file.read(&mut one)).await.is_err(),
        "the stream has ended"
    );
    assert!(!end.is_finished(), "the server must wait for the stream");
    end.abort();
}
