//! Promises 1 and 8 for tickets: a ticket is a seat, until it is used, dropped or expired.

use dog::ReplicaId;
use dog::http::StatusCode;
use futures_util::future::{Either, select};

use super::seats::{Beside, SEATS, fill, join};
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

/// Takes all seats but one, which is where the first of the sockets are: the next ticket is for it. It is taken last, since
/// a ticket does not live for as long as this may take.
async fn all_but_one(place: &Place) -> Outcome<Vec<Client>> {
    let full = fill(place, "full").await?;
    let mut sockets = join(place, "filler", SEATS - 1).await?;
    let home = sockets[0].replica();
    let on_it = sockets.iter().filter(|socket| socket.replica() == home).count();
    same((on_it, home != full[0].replica()), (SEATS - 1, true), "sockets beside a free seat, on another Replica")?;
    sockets.extend(full);
    Ok(sockets)
}

/// A client that does not get the seat of a ticket which is for `home`.
async fn other_than(place: &Place, home: ReplicaId) -> Outcome<Client> {
    let other = place.join("other").await?;
    ensure(other.replica() != home, "a client took the seat that a ticket was for")?;
    Ok(other)
}

/// Nobody comes with it and nobody gives it back: the seat is free after the ticket's life, and soon after it, for a
/// host may keep it a little for a client that came in the last moment.
async fn expires(stage: Stage) -> Outcome {
    let place = stage.pinned("brief", "expiry");
    let mut held = Held::new(&place).await?;
    let sockets = all_but_one(&place).await?;
    let home = sockets[0].replica();
    let path = held.path("holder", "drop");
    let holding = place.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held("holder").await?;
        let _other = other_than(&place, home).await?;
        // Each of these would rather be here, and is asked about once, since it may be sent elsewhere.
        for regular in sockets.iter().filter(|socket| socket.replica() == home) {
            // Sleeping is the point here: it is time itself that has to pass.
            tokio::time::sleep(ShortTimes::TICKET / 2).await;
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
    let mut sockets = all_but_one(&place).await?;
    let path = held.path("holder", "use");
    let holding = place.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held("holder").await?;
        tokio::time::sleep(ShortTimes::TICKET + ShortTimes::SPAN / 2).await;
        // It may get the ticket's seat, or one on a new Replica.
        let late = place.join("late").await?;
        held.release("holder").await?;
        Ok(late)
    };
    let (response, _late) = futures_util::try_join!(holding, meanwhile)?;
    same(response.status(), StatusCode::OK, "a ticket used too late")?;
    let reply: Reply = serde_json::from_slice(response.body())?;
    ensure(reply.replica != sockets[0].replica(), "an expired ticket got the seat that it was for")?;
    for (replica, report) in sockets[0].survey().await? {
        ensure(report.most <= 8, format!("{replica} had {} seats taken, its limit is 8", report.most))?;
    }
    Ok(())
}
