//! Promise 22: how fast the client of a socket may send, and what becomes of what is over that. Others notice nothing.

use std::cell::Cell;

use super::scenario::{Scenario, scenario};
use super::slow::{TOO_MUCH, stands_still};
use crate::app::FillsFirst;
use crate::app::protocol::{Act, CUT_OFF, Cause, DELAYED, DROPPED, HELD, SocketEnd, SocketEvent, Whom, waiting};
use crate::check::{Outcome, ensure, same};
use crate::client::{Client, Ending};
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("rate_drops_what_is_over_it", &[22], dropped),
        scenario("rate_closes_a_socket_that_is_over_it", &[22], cut_off),
        scenario("rate_delays_what_is_over_it", &[5, 22], delayed)
            .needing(&[Capability::Backpressure, Capability::FullBuffers]),
        scenario("rate_delays_nobody_else", &[14, 22], held),
        scenario("rate_stops_the_host_from_reading_on", &[12, 22], not_read_on)
            .needing(&[Capability::Backpressure, Capability::FullBuffers]),
        scenario("rate_closes_a_socket_when_too_much_waits", &[12, 22], overfull).replacing(Capability::Backpressure),
    ]
}

/// The gate at which a handler waits so that its Replica does not hibernate: its sockets could send again then.
const AWAKE: &str = "awake";

/// How many messages may come at once.
const AT_ONCE: [&str; 3] = ["0", "1", "2"];

/// The client whose messages have a rate, one that is on the same Replica, and one that is on another.
struct Paced {
    fast: Client,
    beside: Client,
    far: Client,
    _others: [Client; 2],
}

impl Paced {
    async fn new(group: &TestGroup, client: &str) -> Outcome<Self> {
        let [mut fast, mut keeper, mut beside, silent, far] =
            group.join_each([client, "keeper", "beside", "silent", "far"]).await?;
        same(beside.replica(), fast.replica(), "the Replica of a client that fits")?;
        ensure(far.replica() != fast.replica(), "one Replica has five sockets, its limit is 4")?;
        keeper.tell(Act::Wait { gate: AWAKE.into() }).await?;
        for client in [&mut fast, &mut beside] {
            same(client.hear().await?, waiting(AWAKE), "what the sockets of the Replica hear")?;
        }
        Ok(Self { fast, beside, far, _others: [keeper, silent] })
    }

    /// The client sends this many messages, as fast as it can. Each is broadcast.
    async fn send(&mut self, messages: usize) -> Outcome {
        for number in 0..messages {
            self.send_one(&number.to_string(), FillsFirst::MESSAGE).await?;
        }
        Ok(())
    }

    async fn send_one(&mut self, text: &str, length: usize) -> Outcome {
        let broadcast = Act::Broadcast { text: text.into(), to: Whom::Everyone };
        self.fast.tell_padded(broadcast, length).await.map(drop)
    }

    /// The other clients have heard this before `last`. They are served as ever, and so the Replica may hibernate again.
    async fn others_heard(&mut self, expected: &[&str], last: &str) -> Outcome {
        for client in [&mut self.beside, &mut self.far] {
            same(client.hear_until(last).await?, expected, "what another client has heard")?;
        }
        same(self.far.whisper("beside", "psst").await?, 1, "sockets that a whisper reaches")?;
        same(self.beside.hear().await?, "psst", "what is whispered")?;
        self.beside.obey(Act::Open { gate: AWAKE.into() }).await
    }
}

/// A message that is small enough for what is left comes after those that are not.
async fn dropped(stage: Stage) -> Outcome {
    let mut paced = Paced::new(&stage.pinned("match", "dropped"), DROPPED).await?;
    paced.send(8).await?;
    paced.send_one("end", 0).await?;
    same(paced.fast.hear_until("end").await?, AT_ONCE, "what the client itself has heard")?;
    paced.others_heard(&AT_ONCE, "end").await?;
    paced.fast.leave().await
}

async fn cut_off(stage: Stage) -> Outcome {
    let mut paced = Paced::new(&stage.pinned("match", "cut-off"), CUT_OFF).await?;
    paced.send(4).await?;
    let ending = Ending { code: 1008, reason: "too many messages".into() };
    same(paced.fast.ended().await?, ending.clone(), "the end of a socket that is over its rate")?;
    let events = paced.beside.report_after(paced.fast.id()).await?.of(paced.fast.id());
    let Ending { code, reason } = ending;
    let end = SocketEvent::End(SocketEnd { error: Some(Cause::TooFast), code, reason, lingers: false });
    same(events.last(), Some(&end), "what its Replica was told")?;
    same(events.iter().filter(|event| **event == SocketEvent::Handled).count(), 3, "messages that were handled")?;
    paced.beside.broadcast("end").await?;
    paced.others_heard(&AT_ONCE, "end").await
}

/// None is lost, and they keep their order.
async fn delayed(stage: Stage) -> Outcome {
    let mut paced = Paced::new(&stage.pinned("match", "delayed"), DELAYED).await?;
    paced.send(8).await?;
    paced.send_one("end", 0).await?;
    let all: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    same(paced.fast.hear_until("end").await?, &all[..], "what the client itself has heard")?;
    paced.others_heard(&all, "end").await?;
    paced.fast.leave().await
}

/// What waits is bounded on a host that has to read on.
async fn overfull(stage: Stage) -> Outcome {
    const SENT: usize = 12;
    let mut paced = Paced::new(&stage.pinned("match", "overfull"), HELD).await?;
    for number in 0..SENT {
        if paced.send_one(&number.to_string(), FillsFirst::MESSAGE).await.is_err() {
            // It has been closed meanwhile.
            break;
        }
    }
    let ending = Ending { code: 1008, reason: "too many messages".into() };
    same(paced.fast.ended().await?, ending, "the end of a socket for which too much waits")?;
    // What had waited by then is handled. What came after that is not.
    paced.beside.broadcast("end").await?;
    let heard = paced.beside.hear_until("end").await?;
    let all: Vec<String> = (0..heard.len()).map(|number| number.to_string()).collect();
    same(&heard, &all, "what another client has heard")?;
    ensure((AT_ONCE.len()..SENT).contains(&heard.len()), "a message was handled that was over the bound")?;
    paced.beside.broadcast("end of all").await?;
    let rest: Vec<&str> = all.iter().map(String::as_str).chain(["end"]).collect();
    same(paced.far.hear_until("end of all").await?, &rest[..], "what a client of another Replica has heard")?;
    paced.beside.obey(Act::Open { gate: AWAKE.into() }).await
}

/// While one message waits, the others of its Replica are served.
async fn held(stage: Stage) -> Outcome {
    let mut paced = Paced::new(&stage.pinned("match", "held"), HELD).await?;
    paced.send(6).await?;
    for text in AT_ONCE {
        same(paced.beside.hear().await?, text, "what comes at once")?;
    }
    // What has not come after 100 turns of the Replica waits.
    for _ in 0..100 {
        paced.beside.ask(Act::Sockets).await?;
    }
    paced.beside.broadcast("meanwhile").await?;
    same(paced.fast.hear_until("meanwhile").await?, AT_ONCE, "what the client itself has heard")?;
    same(paced.far.hear_until("meanwhile").await?, AT_ONCE, "what another client has heard")?;
    same(paced.beside.hear().await?, "meanwhile", "what comes next")?;
    paced.beside.broadcast("end").await?;
    paced.others_heard(&[], "end").await
}

/// A client that goes on sending has to wait, and stays connected. The length of its messages is no multiple of anything: a host that
/// counts them must not round it down.
async fn not_read_on(stage: Stage) -> Outcome {
    const LENGTH: usize = 1005;
    let Paced { mut fast, mut beside, .. } = Paced::new(&stage.pinned("match", "flood"), HELD).await?;
    let sent = Cell::new(0);
    let sending = async {
        while sent.get() < TOO_MUCH / LENGTH {
            fast.tell_padded(Act::Sockets, LENGTH).await?;
            sent.set(sent.get() + 1);
        }
        Ok(())
    };
    let watching = async {
        let before = stands_still(&mut beside, &sent).await?;
        ensure(before < TOO_MUCH / LENGTH, format!("{TOO_MUCH} bytes were read although they are over the rate"))
    };
    futures_util::future::select(std::pin::pin!(sending), std::pin::pin!(watching)).await.factor_first().0
}
