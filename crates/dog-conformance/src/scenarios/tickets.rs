//! Promises 1 and 8 for tickets: a ticket is a seat until it is used, dropped or expired.

use dog::ReplicaId;
use dog::http::StatusCode;
use futures_util::future::{Either, select};

use super::scenario::{Scenario, scenario};
use super::seats::{Beside, SEATS, fill, join};
use crate::app::ShortTimes;
use crate::app::protocol::{Act, CommandReply, waiting};
use crate::check::{Outcome, ScenarioFailure, ensure, same};
use crate::client::Client;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("ticket_dropped_is_given_back", &[1, 8], given_back),
        scenario("ticket_is_a_seat", &[1], is_a_seat),
        scenario("ticket_of_a_newcomer_to_a_closed_replica_leads_elsewhere", &[3], closed_meanwhile),
        scenario("ticket_expires", &[1, 8], expires),
        scenario("ticket_expired_gets_no_seat", &[1], expired_is_worth_nothing),
    ]
}

/// The App identifies clients and drops their tickets. The seats are free at once, long before the tickets would expire.
async fn given_back(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "dropped");
    let beside = Beside::new(&group).await?;
    let mut replica = None;
    for number in 0..SEATS {
        replica = Some(group.identify(&format!("shy{number}")).await?.replica);
    }
    let replica = replica.unwrap_or(beside.replica());
    beside.all_free(&group, replica).await
}

/// A ticket that the App holds until another client, in the Group of the same name of class `hall`, opens a gate.
pub(super) struct Held<'a> {
    group: &'a TestGroup,
    controller: Client,
}

impl<'a> Held<'a> {
    pub(super) async fn new(group: &'a TestGroup) -> Outcome<Self> {
        Ok(Self { group, controller: group.of_class("hall").join("controller").await? })
    }

    pub(super) fn path(&self, client: &str, then: &str) -> String {
        format!("{}&gate={client}&then={then}", self.group.path("hold", client))
    }

    /// Completes when the App holds the ticket of `client`.
    pub(super) async fn is_held(&mut self, client: &str) -> Outcome {
        same(self.controller.hear().await?, waiting(client), "what the controller hears")
    }

    pub(super) async fn release(&mut self, client: &str) -> Outcome {
        self.controller.obey(Act::Open { gate: client.into() }).await
    }
}

/// Nobody else gets the seat of a ticket that is valid.
async fn is_a_seat(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "held");
    let mut held = Held::new(&group).await?;
    let path = held.path("holder", "use");
    let holding = group.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held("holder").await?;
        let other = group.join("other").await?;
        held.release("holder").await?;
        Ok(other)
    };
    let (response, other) = futures_util::try_join!(holding, meanwhile)?;
    same(response.status(), StatusCode::OK, "a ticket used in time")?;
    let reply: CommandReply = serde_json::from_slice(response.body())?;
    ensure(reply.replica != other.replica(), "a client took the seat that a ticket was for")
}

/// The Replica closes itself between the ticket and the request. The client gets a seat on another one, and notices nothing.
async fn closed_meanwhile(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "closed");
    let mut held = Held::new(&group).await?;
    let mut host = group.join("host").await?;
    let path = held.path("late", "use");
    let holding = group.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held("late").await?;
        host.obey(Act::CloseToNewcomers).await?;
        held.release("late").await
    };
    let (response, ()) = futures_util::try_join!(holding, meanwhile)?;
    same(response.status(), StatusCode::OK, "the answer to a client whose Replica has closed")?;
    let reply: CommandReply = serde_json::from_slice(response.body())?;
    ensure(reply.replica != host.replica(), "a newcomer came to a Replica that is closed")
}

/// Takes all seats but one, on the Replica of the first sockets. The next ticket is for that seat. It is taken last, because this
/// may take longer than the lifetime of a ticket.
async fn all_but_one(group: &TestGroup) -> Outcome<Vec<Client>> {
    let full = fill(group, "full").await?;
    let mut sockets = join(group, "filler", SEATS - 1).await?;
    let home = sockets[0].replica();
    let on_it = sockets.iter().filter(|socket| socket.replica() == home).count();
    same((on_it, home != full[0].replica()), (SEATS - 1, true), "sockets beside a free seat, on another Replica")?;
    sockets.extend(full);
    Ok(sockets)
}

/// A client that must not get the seat of a ticket for `home`.
async fn other_than(group: &TestGroup, home: ReplicaId) -> Outcome<Client> {
    let other = group.join("other").await?;
    ensure(other.replica() != home, "a client took the seat that a ticket was for")?;
    Ok(other)
}

/// Nobody uses or drops the ticket. The seat is free soon after the ticket has expired: a host may keep it a little longer for a
/// client that came at the last moment.
async fn expires(stage: Stage) -> Outcome {
    let group = stage.pinned("brief", "expiry");
    let mut held = Held::new(&group).await?;
    let sockets = all_but_one(&group).await?;
    let home = sockets[0].replica();
    let path = held.path("holder", "drop");
    let holding = group.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held("holder").await?;
        let _other = other_than(&group, home).await?;
        // Each of these clients is identified once only, because it may be placed elsewhere and then stay there.
        for regular in sockets.iter().filter(|socket| socket.replica() == home) {
            // The scenario is about time, so it has to sleep.
            tokio::time::sleep(ShortTimes::TICKET / 2).await;
            if group.identify(regular.id().as_str()).await?.replica == home {
                return Ok(());
            }
        }
        Err(ScenarioFailure::new("the seat of a ticket that nobody came with was never free"))
    };
    // The App holds the ticket until the end. Nobody waits for its answer then.
    match select(std::pin::pin!(holding), std::pin::pin!(meanwhile)).await {
        Either::Left((response, _)) => {
            Err(ScenarioFailure::new(format!("the ticket was let go: {:?}", response?.status())))
        }
        Either::Right((outcome, _)) => outcome,
    }
}

/// A request with an expired ticket gets no seat for it, and is placed again.
async fn expired_is_worth_nothing(stage: Stage) -> Outcome {
    let group = stage.pinned("brief", "expired");
    let mut held = Held::new(&group).await?;
    let mut sockets = all_but_one(&group).await?;
    let path = held.path("holder", "use");
    let holding = group.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held("holder").await?;
        tokio::time::sleep(ShortTimes::TICKET + ShortTimes::SPAN / 2).await;
        // It may get the seat of the ticket, or one on a new Replica.
        let late = group.join("late").await?;
        held.release("holder").await?;
        Ok(late)
    };
    let (response, _late) = futures_util::try_join!(holding, meanwhile)?;
    same(response.status(), StatusCode::OK, "a ticket used too late")?;
    let reply: CommandReply = serde_json::from_slice(response.body())?;
    ensure(reply.replica != sockets[0].replica(), "an expired ticket got the seat that it was for")?;
    for (replica, report) in sockets[0].survey().await? {
        ensure(report.most <= 8, format!("{replica} had {} seats taken, its limit is 8", report.most))?;
    }
    Ok(())
}
