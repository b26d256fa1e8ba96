//! Promises 1 and 8 for tickets: a ticket is a seat, until it is used, dropped or expired.

use dog::http::StatusCode;
use futures_util::future::{Either, select};

use super::seats::{Beside, SEATS, join};
use super::{Scenario, scenario};
use crate::app::ShortTimes;
use crate::app::protocol::{Act, Reply, waiting};
use crate::check::{Outcome, Trouble, ensure, same};
use crate::client::Client;
use crate::stage::{Place, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("ticket_dropped_is_given_back", &[1, 8], given_back),
        scenario("ticket_is_a_seat", &[1], is_a_seat),
        scenario("ticket_expires", &[1, 8], expires),
        scenario("ticket_expired_gets_no_seat", &[1], expired_is_worth_nothing),
    ]
}

/// Identified and not come: the seats are free at once, long before the tickets would expire.
async fn given_back(stage: Stage) -> Outcome {
    let place = stage.pinned("octet", "dropped");
    let beside = Beside::new(&place).await?;
    let mut replica = None;
    for number in 0..SEATS {
        replica = Some(place.identify(&format!("shy{number}")).await?.replica);
    }
    let replica = replica.unwrap_or(beside.replica());
    beside.all_free(&place, replica).await
}

/// A ticket that somebody holds in the App, while a controller of the same Group name says for how long.
struct Held<'a> {
    place: &'a Place,
    controller: Client,
}

impl<'a> Held<'a> {
    async fn new(place: &'a Place) -> Outcome<Self> {
        Ok(Self { place, controller: place.of_class("hall").join("controller").await? })
    }

    fn path(&self, client: &str, then: &str) -> String {
        format!("{}&gate={client}&then={then}", self.place.path("hold", client))
    }

    /// Ends when the App holds the ticket of `client`.
    async fn is_held(&mut self, client: &str) -> Outcome {
        same(self.controller.hear().await?, waiting(client), "what the controller hears")
    }

    async fn release(&mut self, client: &str) -> Outcome {
        self.controller.obey(Act::Open { gate: client.into() }).await
    }
}

/// While a ticket lives, its seat is nobody else's.
async fn is_a_seat(stage: Stage) -> Outcome {
    let place = stage.pinned("single", "held");
    let mut held = Held::new(&place).await?;
    let path = held.path("holder", "use");
    let holding = place.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held("holder").await?;
        let other = place.join("other").await?;
        held.release("holder").await?;
        Ok(other)
    };
    let (response, other) = futures_util::try_join!(holding, meanwhile)?;
    same(response.status(), StatusCode::OK, "a ticket used in time")?;
    let reply: Reply = serde_json::from_slice(response.body())?;
    ensure(reply.replica != other.replica(), "a client took the seat that a ticket was for")
}

/// Takes every seat beside a ticket, and as many on another Replica.
async fn fill_beside(place: &Place, held: &mut Held<'_>) -> Outcome<Vec<Client>> {
    held.is_held("holder").await?;
    let sockets = join(place, "filler", 2 * SEATS - 1).await?;
    let home = sockets[0].replica();
    let on_it = sockets.iter().filter(|socket| socket.replica() == home).count();
    same(on_it, SEATS - 1, "sockets beside a ticket, eight seats in all")?;
    let on: std::collections::BTreeSet<_> = sockets.iter().map(Client::replica).collect();
    same(on.len(), 2, "Replicas for fifteen sockets and a ticket")?;
    Ok(sockets)
}

/// Nobody comes with it and nobody gives it back: the seat is free after the ticket's life, and soon after it, for a
/// host may keep it a little for a client that came in the last moment.
async fn expires(stage: Stage) -> Outcome {
    let place = stage.pinned("brief", "expiry");
    let mut held = Held::new(&place).await?;
    let path = held.path("holder", "drop");
    let holding = place.hold(&path, Act::Sockets);
    let meanwhile = async {
        let sockets = fill_beside(&place, &mut held).await?;
        let home = sockets[0].replica();
        // Each of these would rather be here, and is asked about once, since it may be sent elsewhere.
        for regular in sockets.iter().filter(|socket| socket.replica() == home) {
            // Sleeping is the point here: it is time itself that has to pass.
            tokio::time::sleep(ShortTimes::SPAN).await;
            if place.identify(regular.id().as_str()).await?.replica == home {
                return Ok(());
            }
        }
        Err(Trouble::new("the seat of a ticket that nobody came with was never free"))
    };
    // The App holds the ticket to the end, and learns then that nobody waits for its answer.
    match select(std::pin::pin!(holding), std::pin::pin!(meanwhile)).await {
        Either::Left((response, _)) => Err(Trouble::new(format!("the ticket was let go: {:?}", response?.status()))),
        Either::Right((outcome, _)) => outcome,
    }
}

/// Whoever comes with an expired ticket gets no seat for it, and is placed anew.
async fn expired_is_worth_nothing(stage: Stage) -> Outcome {
    let place = stage.pinned("brief", "expired");
    let mut held = Held::new(&place).await?;
    let path = held.path("holder", "use");
    let holding = place.hold(&path, Act::Sockets);
    let meanwhile = async {
        let mut sockets = fill_beside(&place, &mut held).await?;
        tokio::time::sleep(ShortTimes::SPAN * 3 / 2).await;
        // It may get the ticket's seat, or one on a new Replica.
        sockets.push(place.join("late").await?);
        held.release("holder").await?;
        Ok(sockets)
    };
    let (response, mut sockets) = futures_util::try_join!(holding, meanwhile)?;
    same(response.status(), StatusCode::OK, "a ticket used too late")?;
    let reply: Reply = serde_json::from_slice(response.body())?;
    ensure(reply.replica != sockets[0].replica(), "an expired ticket got the seat that it was for")?;
    for (replica, report) in sockets[0].survey().await? {
        ensure(report.most <= 8, format!("{replica} had {} seats taken, its limit is 8", report.most))?;
    }
    Ok(())
}
