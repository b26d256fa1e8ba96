//! Promise 8: whatever a client does, its seat is released.

use super::scenario::{Scenario, scenario};
use super::seats::{Beside, SEATS, join};
use crate::app::protocol::{Act, Ask, FAILING, UNWANTED};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("seats_of_sockets_are_free_however_they_end", &[8], sockets),
        scenario("seats_of_sockets_refused_at_once_are_free", &[8, 14], refused_at_once),
        scenario("seats_of_requests_are_free_however_they_end", &[8, 14], requests),
        scenario("seats_are_correct_after_many_clients", &[1, 8], many),
    ]
}

/// Eight sockets end in eight ways.
async fn sockets(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "sockets");
    let beside = Beside::new(&group).await?;
    let clients = join(&group, "leaver", SEATS).await?;
    let replica = clients[0].replica();
    for (number, mut client) in clients.into_iter().enumerate() {
        same(client.replica(), replica, "where the second eight are")?;
        match number {
            0 => client.leave().await?,
            1 => same(client.close(None, "").await?.code, 1005, "a close without a code")?,
            2 => drop(client),
            3 => client.reset()?,
            4 => drop(client.tell(Act::Close { code: 4000, reason: "bye".into() }).await?),
            5 => drop(client.tell(Act::Fail { text: "secret".into() }).await?),
            // An unmasked frame.
            6 => client.write(&[0x81, 0x01, b'x']).await?,
            // Half a frame, then a reset.
            _ => client.write(&[0x81, 0xfe, 0x01]).await?,
        }
    }
    beside.all_free(&group, replica).await
}

/// The sockets end before their `on_open` has ended.
async fn refused_at_once(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "refused");
    let beside = Beside::new(&group).await?;
    let mut replica = beside.replica();
    for number in 0..SEATS {
        let prefix = if number % 2 == 0 { FAILING } else { UNWANTED };
        let mut client = group.join(&format!("{prefix}{number}")).await?;
        replica = client.replica();
        client.ended().await?;
    }
    beside.all_free(&group, replica).await
}

/// Requests that are answered, that fail, and that should be a handshake but are not.
async fn requests(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "requests");
    let beside = Beside::new(&group).await?;
    let reply = group.command("caller0", Act::Sockets).await?;
    for number in 1..SEATS {
        let client = format!("caller{number}");
        let status = match number % 3 {
            0 => group.post(&client, Act::Sockets).await?.status(),
            1 => group.post(&client, Act::Fail { text: "secret".into() }).await?.status(),
            _ => group.request("GET", &group.path("ws", &client), "").await?.status(),
        };
        ensure([200, 500, 426].contains(&status.as_u16()), format!("an unexpected status {status}"))?;
    }
    beside.all_free(&group, reply.replica).await
}

/// Many clients come and go at the same time. No seat is taken twice, and none is lost.
async fn many(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "many");
    let mut beside = Beside::new(&group).await?;
    let mut replica = beside.replica();
    for round in 0..10 {
        let mut clients = group.join_all(&format!("round{round}-"), SEATS).await?;
        replica = clients[0].replica();
        futures_util::future::try_join_all(clients.iter_mut().map(Client::report)).await?;
        let names: Vec<_> = clients.iter().map(|client| client.id().clone()).collect();
        for (number, client) in clients.into_iter().enumerate() {
            if number % 2 == 0 { client.leave().await? } else { drop(client) }
        }
        for name in names {
            beside.one().gossip(Ask::Ended(name)).await?;
        }
    }
    for (replica, report) in beside.one().survey().await? {
        ensure(report.most <= 8, format!("{replica} had {} seats taken, its limit is 8", report.most))?;
    }
    beside.all_free(&group, replica).await
}
