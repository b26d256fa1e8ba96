//! Promise 1: seats on a Replica never pass the limit.

use std::collections::BTreeSet;

use dog::ClientId;
use futures_util::future::try_join_all;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Told, Whom, waiting};
use crate::check::{Outcome, ensure, same};
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("limit_holds_in_a_storm_of_joins", &[1, 4], storm_of_joins),
        scenario("limit_counts_requests_in_flight", &[1], requests_in_flight),
        scenario("limit_counts_every_socket_of_a_client", &[1], sockets_of_one_client),
    ]
}

/// Two hundred sockets and two hundred requests at the same time, with two seats per Replica.
async fn storm_of_joins(stage: Stage) -> Outcome {
    const SOCKETS: usize = 200;
    let group = stage.spread("pair", "storm");
    let requests = (0..SOCKETS).map(|number| {
        let group = &group;
        async move { group.command(&format!("caller{number}"), Act::Sockets).await }
    });
    let (mut clients, _) = futures_util::try_join!(group.join_all("joiner", SOCKETS), try_join_all(requests))?;

    let on: BTreeSet<_> = clients.iter().map(crate::Client::replica).collect();
    let reports = clients[0].survey().await?;
    for (replica, report) in &reports {
        ensure(report.most <= 2, format!("{replica} had {} seats taken, its limit is 2", report.most))?;
    }
    let open: Vec<_> = reports.iter().flat_map(|(_, report)| report.open.iter().cloned()).collect();
    same(open.len(), SOCKETS, "open sockets in all reports")?;
    same(open.into_iter().collect::<BTreeSet<_>>().len(), SOCKETS, "clients in all reports")?;
    ensure(on.len() >= SOCKETS / 2, format!("{SOCKETS} sockets cannot fit on {} Replicas", on.len()))?;
    same(clients[0].confirmed("all here?", Whom::Everyone).await?, (SOCKETS, vec![]), "whom a broadcast reaches")
}

/// A request in progress has a seat, like a socket.
async fn requests_in_flight(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "requests");
    let mut keeper = group.join("keeper").await?;
    let request = group.command("caller", Act::Wait { gate: "held".into() });
    let others = async {
        same(keeper.hear().await?, waiting("held"), "what the keeper hears")?;
        let mut late = group.join("late").await?;
        ensure(late.replica() != keeper.replica(), "a socket took the seat of a request in flight")?;
        same(keeper.report().await?.most, 2, "seats taken at most")?;
        late.close(Some(1000), "").await?;
        keeper.obey(Act::Open { gate: "held".into() }).await
    };
    let (reply, ()) = futures_util::try_join!(request, others)?;
    same((reply.replica, reply.told), (keeper.replica(), Told::Done), "the request's reply")
}

/// Every socket of a client has a seat.
async fn sockets_of_one_client(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "same");
    let mut sockets = group.join_each(["same", "same", "same", "same", "same"]).await?;
    let on: BTreeSet<_> = sockets.iter().map(crate::Client::replica).collect();
    same(on.len(), 3, "Replicas for five sockets of one client, two seats each")?;
    let client = ClientId::new("same")?;
    for (replica, report) in sockets[0].survey().await? {
        ensure(report.most <= 2, format!("{replica} had {} seats taken, its limit is 2", report.most))?;
        ensure(report.open.iter().all(|open| *open == client), "a stranger among the sockets")?;
    }
    Ok(())
}
