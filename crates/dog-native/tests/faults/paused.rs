//! A server that is suspended for a while, as on a machine that sleeps or is overloaded.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::arena;
use crate::steady::{Client, frame, raw};

/// What the clients sent meanwhile arrives at once. It is more than may wait for one socket. Clients that read still
/// receive all of it.
#[tokio::test]
async fn a_server_that_stood_still_closes_nobody_who_reads() {
    const MESSAGES: usize = 5_000;
    let child = arena::start(&[]);
    let names: Vec<String> = (0..5).map(|at| format!("reader{at}")).collect();
    let readers = join_all(names.iter().map(|name| Client::connect(child.address, "same", name))).await;
    let (mut reading, mut writing) = raw(child.address, "same", "speaker").await.into_split();
    let speaks = tokio::spawn(async move {
        for _ in 0..MESSAGES / 100 {
            writing.write_all(&frame(0x82, &[7; 2_000]).repeat(100)).await.unwrap();
        }
        writing.write_all(&frame(0x81, b"end")).await.unwrap();
        writing
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            tokio::task::yield_now().await;
        }
    });
    let hears = readers.into_iter().map(|mut reader| {
        tokio::spawn(async move {
            // `hear` panics if the client was closed before.
            assert_eq!(reader.hear().await, "end");
        })
    });
    let hears: Vec<_> = hears.collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        child.pause(true);
        tokio::time::sleep(Duration::from_millis(500)).await;
        child.pause(false);
    }
    for heard in join_all(hears).await {
        heard.expect("no reader is closed");
    }
    drop(speaks.await.unwrap());
    assert_eq!(child.end(), "");
}
