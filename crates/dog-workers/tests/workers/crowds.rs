//! Many Replicas and many sockets: messages reach all of them, in order.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dog::ClientId;
use dog_conformance::app::protocol::{Act, Ask, Step, Told, Whom};
use dog_conformance::{Client, Outcome};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::workerd::{Disk, Workerd};

/// The number of clients that join at the same time.
const AT_ONCE: usize = 32;

async fn join_all(entry: SocketAddr, class: &str, count: usize) -> Outcome<Vec<Client>> {
    let joins = (0..count).map(|number| async move {
        let client = format!("client{number}");
        Client::connect(entry, &format!("/{class}/crowd/ws?u={client}"), ClientId::new(client)?).await
    });
    stream::iter(joins).buffer_unordered(AT_ONCE).try_collect().await
}

fn replicas(crowd: &[Client]) -> usize {
    crowd.iter().map(Client::replica).collect::<BTreeSet<_>>().len()
}

/// Asserts that each client receives `texts` and then `last`.
async fn all_hear(crowd: &mut [Client], texts: &[String], last: &str) -> Outcome {
    for client in crowd {
        assert_eq!(client.hear_until(last).await?, texts, "what {} hears", client.id());
    }
    Ok(())
}

/// Has one client per Replica, so each broadcast and each gossip goes to 199 other objects.
async fn many_replicas(entry: SocketAddr) -> Outcome {
    const COUNT: usize = 200;
    const STEPS: u32 = 40;
    let mut crowd = join_all(entry, "single", COUNT).await?;
    assert_eq!(replicas(&crowd), COUNT);
    assert_eq!(crowd[0].confirmed("all", Whom::Everyone).await?, (COUNT, vec![]), "sockets reached by a broadcast");
    all_hear(&mut crowd, &[], "all").await?;
    // These messages are sent faster than they arrive.
    let numbers: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    let mut commands = Vec::new();
    for text in &numbers {
        commands.push(crowd[0].tell(Act::Broadcast { text: text.clone(), to: Whom::Everyone }).await?);
    }
    for command in commands {
        crowd[0].reply(command).await?;
    }
    crowd[0].broadcast("numbers").await?;
    all_hear(&mut crowd, &numbers, "numbers").await?;
    let (answers, missing) = crowd[COUNT - 1].gossip(Ask::Report).await?;
    assert_eq!((answers.len(), missing), (COUNT - 1, vec![]), "siblings that answer gossip");
    let listener = crowd[COUNT / 2].id().clone();
    let sequence = Act::Sequence { count: STEPS, clients: vec![listener.clone()] };
    assert_eq!(crowd[0].ask(sequence).await?, Told::Done);
    assert_eq!(crowd[0].whisper(listener.as_str(), "psst").await?, 1, "sockets that a whisper reaches");
    let elsewhere = |step: &u32| !matches!(Step::of(*step, 1), Step::Send | Step::Emit);
    let steps: Vec<String> = (0..STEPS).filter(elsewhere).map(|step| step.to_string()).collect();
    assert_eq!(crowd[COUNT / 2].hear_until("psst").await?, steps, "what comes before the whisper");
    Ok(())
}

#[tokio::test]
async fn two_hundred_replicas_hear_everything_in_order() {
    let disk = Disk::new();
    let workerd = Workerd::start(&disk, &[]);
    if let Err(trouble) = many_replicas(workerd.address()).await {
        panic!("{trouble}");
    }
}

/// Has fifty clients per Replica. Then half of them leave, and other clients take their seats.
async fn many_sockets(entry: SocketAddr) -> Outcome {
    const COUNT: usize = 2_000;
    let mut crowd = join_all(entry, "hall", COUNT).await?;
    let full = COUNT / 50;
    assert!(replicas(&crowd) >= full, "at most fifty seats per Replica");
    assert_eq!(crowd[0].confirmed("all", Whom::Everyone).await?, (COUNT, vec![]), "sockets reached by a broadcast");
    all_hear(&mut crowd, &[], "all").await?;
    let leaving = crowd.split_off(COUNT / 2);
    stream::iter(leaving).map(Client::leave).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    assert_eq!(
        crowd[0].confirmed("half", Whom::Everyone).await?,
        (COUNT / 2, vec![]),
        "sockets reached by a broadcast"
    );
    all_hear(&mut crowd, &[], "half").await
}

#[tokio::test]
async fn two_thousand_sockets_are_reached_and_those_that_left_are_not() {
    let disk = Disk::new();
    let workerd = Workerd::start(&disk, &[]);
    if let Err(trouble) = many_sockets(workerd.address()).await {
        panic!("{trouble}");
    }
}
