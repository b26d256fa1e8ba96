//! Promises 6 and 12: a socket that does not read affects only itself.

use std::cell::Cell;

use dog::ClientId;
use tokio::net::{TcpSocket, TcpStream};

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Cause, SocketEvent, Whom, waiting};
use crate::check::{Outcome, ScenarioFailure, ensure, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("slow_reader_is_closed_and_others_receive_everything", &[6, 12], slow_reader)
            .needing(&[Capability::BoundedOutbox]),
        scenario("busy_socket_is_not_read_on", &[7, 12], busy)
            .needing(&[Capability::Backpressure, Capability::FullBuffers]),
    ]
}

/// The size of one message, and the maximum number of bytes that a server may hold for one slow socket, including the buffers of
/// the operating system.
const MESSAGE: usize = 256 << 10;
pub(super) const TOO_MUCH: usize = 64 << 20;

/// A connection with a small receive buffer.
pub(super) async fn connect_with_little_room(group: &TestGroup) -> Outcome<TcpStream> {
    let entry = group.entry();
    let socket = if entry.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(4096)?;
    Ok(socket.connect(entry).await?)
}

/// Sends to three sockets until only one has heard it: the one that never reads is let go. `hear` gives what the other one has
/// heard next.
pub(super) async fn send_until_let_go(speaker: &mut Client, mut hear: impl AsyncFnMut() -> Outcome<String>) -> Outcome {
    let mut sent = 0;
    loop {
        let text = format!("{sent:020}{}", "x".repeat(MESSAGE - 20));
        let (reached, missing) = speaker.confirmed(&text, Whom::Others).await?;
        same(missing, vec![], "who did not answer")?;
        // The reader keeps up, so it is never slow.
        same(hear().await?, text, "the next message")?;
        sent += MESSAGE;
        ensure(sent <= TOO_MUCH, "a socket that never reads was never let go")?;
        if reached == 1 {
            return Ok(());
        }
    }
}

/// The Replica has heard that this client was let go because it was too slow.
pub(super) async fn was_too_slow(speaker: &mut Client, slow: &ClientId) -> Outcome {
    let events = speaker.report_after(slow).await?.of(slow);
    let [SocketEvent::Opening, SocketEvent::Opened, SocketEvent::End(end)] = &events[..] else {
        return Err(ScenarioFailure::new(format!("a slow socket's events: {events:?}")));
    };
    same((end.error, end.code, end.lingers), (Some(Cause::TooSlow), 1013, false), "what the Replica heard")
}

/// A client with a small receive buffer that never reads.
async fn never_reads(group: &TestGroup) -> Outcome<Client> {
    let stream = connect_with_little_room(group).await?;
    Client::open(stream, &group.path("ws", "slow"), ClientId::new("slow")?).await
}

async fn slow_reader(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "slow");
    let [mut speaker, mut reader] = group.join_each(["speaker", "reader"]).await?;
    let mut slow = never_reads(&group).await?;
    same(slow.replica(), speaker.replica(), "the Replica of all three")?;
    send_until_let_go(&mut speaker, async || reader.hear().await).await?;
    was_too_slow(&mut speaker, slow.id()).await?;
    slow.ended().await?;
    speaker.obey(Act::Broadcast { text: "end".into(), to: Whom::Others }).await?;
    same(reader.hear().await?, "end", "what the others hear")
}

/// While its handler waits, a client can send only as much as the buffers hold. Then everything is handled.
async fn busy(stage: Stage) -> Outcome {
    const MESSAGES: usize = TOO_MUCH / MESSAGE;
    let group = stage.pinned("hall", "busy");
    let [mut bystander, mut busy] = group.join_each(["bystander", "busy"]).await?;
    busy.tell(Act::Wait { gate: "go".into() }).await?;
    same(bystander.hear().await?, waiting("go"), "the handler")?;
    let sent = Cell::new(0);
    let sending = async {
        let mut last = 0;
        while sent.get() < MESSAGES {
            last = busy.tell_padded(Act::Sockets, MESSAGE).await?;
            sent.set(sent.get() + 1);
        }
        busy.reply(last).await
    };
    let watching = async {
        let before = stands_still(&mut bystander, &sent).await?;
        ensure(before < MESSAGES, format!("{TOO_MUCH} bytes were read while a handler was busy"))?;
        bystander.obey(Act::Open { gate: "go".into() }).await
    };
    futures_util::try_join!(sending, watching)?;
    let handled = busy.report().await?.of(busy.id()).into_iter().filter(|event| *event == SocketEvent::Handled).count();
    same(handled, MESSAGES + 1, "messages that were handled")
}

/// Waits until nothing more is sent. Returns how much has been. Each answer to the other client means a turn of the host, and after
/// this many turns without progress there is none.
pub(super) async fn stands_still(bystander: &mut Client, sent: &Cell<usize>) -> Outcome<usize> {
    let (mut still, mut before) = (0, 0);
    while still < 100 {
        bystander.ask(Act::Sockets).await?;
        still = if sent.get() == before { still + 1 } else { 0 };
        before = sent.get();
    }
    Ok(before)
}
