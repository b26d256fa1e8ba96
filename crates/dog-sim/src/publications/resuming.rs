//! Sockets that resume from what sockets have seen, also before Group and Replica died. Promise 17.

use dog::{Context, Message, ROOM, Recovered, Replica, Socket, Unrecovered};

use super::PUBLISHER;
use super::logs_of_run::published;
use crate::witness::Witness;

/// A socket opens. It is subscribed to the room, and sometimes resumes it.
pub(crate) async fn opens<R: Replica>(witness: &Witness, cx: &Context<R>, socket: &Socket) {
    let resumes = {
        let mut record = witness.record();
        record.logs().subscribed(socket.id(), cx.group(), ROOM);
        record.logs().has_something((cx.group(), ROOM)) && record.random.happens(400)
    };
    if resumes {
        resume(witness, cx, socket, ROOM).await;
    }
}

/// Resumes a topic. Before the socket gets what it has missed, it gets a message that says so.
pub(crate) async fn resume<R: Replica>(witness: &Witness, cx: &Context<R>, socket: &Socket, topic: &str) {
    let (topic, of) = (published(topic), (cx.group(), published(topic)));
    let (since, was_subscribed, asked) = {
        let mut record = witness.record();
        let pick = record.random.number();
        record.logs().confirmations().is_uneven(socket.id());
        record.logs().confirmations().subscribes(socket.id(), of);
        let Some(since) = record.logs().position_to_resume(of, pick) else { return };
        let was_subscribed = topic == ROOM || record.topics().subscribe_begins(socket.id(), topic);
        (since, was_subscribed, record.now_of(cx.group()))
    };
    let awaits = socket.client().awaits_assignment();
    let outcome = socket.resume(topic, &since).await;
    let mut record = witness.record();
    let now = record.now_of(cx.group());
    if topic != ROOM {
        let (is_subscribed, moment) = (was_subscribed || matches!(outcome, Ok(Ok(_))), record.moment());
        record.topics().subscribe_ends(socket.id(), topic, is_subscribed, moment);
    }
    let checked = match &outcome {
        Ok(Ok(Recovered { count, position, .. })) => record.logs().resumed(socket.id(), of, (&since, *count, position)),
        Ok(Err(Unrecovered::NotPermitted)) if awaits => Ok(()),
        Ok(Err(reason)) => record.logs().check_not_resumed(of, &since, *reason, (asked, now)),
        Err(_) => Ok(()),
    };
    record.check(17, checked);
    if let Ok(Ok(_)) = outcome {
        let number = record.next_message(PUBLISHER).1;
        drop(record);
        let name = if topic == ROOM { String::new() } else { format!(" {topic}") };
        // A socket that has closed meanwhile gets nothing more.
        drop(socket.send(Message::text(format!("r {PUBLISHER} {number} -{name}"))));
    }
}
