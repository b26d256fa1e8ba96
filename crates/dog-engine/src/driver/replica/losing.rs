//! Tells the user's code that publications are lost: `Replica::on_lost`. What follows waits until it has returned.

use std::pin::pin;
use std::rc::Rc;

use dog::internal::{LogTopic, Unrecovered};
use dog::{ClientId, CloseCode, Replica, Socket, SocketId};
use futures_util::future::{Either, select};

use super::ReplicaDriver;
use super::catch_ups::Next;
use super::openings::ON_OPEN_HOLDS;
use super::replaying::go_on_soon;
use crate::driver::failures::{UserFunction, report_failure};
use crate::driver::object::start;
use crate::host::Host;

/// Publications are lost for these subscribers of a topic.
pub(super) fn lost<R: Replica, H: Host>(
    driver: &ReplicaDriver<R, H>,
    topic: &LogTopic,
    reason: Unrecovered,
    sockets: &[SocketId],
) {
    let Some(task) = driver.this.upgrade() else { return };
    let with_client = |id: &SocketId| driver.client(*id).map(|client| (*id, client));
    let sockets: Vec<_> = sockets.iter().filter_map(with_client).collect();
    if sockets.is_empty() {
        return;
    }
    let mut catch_ups = driver.followers.catch_ups().borrow_mut();
    sockets.iter().for_each(|(socket, _)| catch_ups.begin_on_lost(topic, *socket));
    drop(catch_ups);
    let topic = topic.clone();
    start(&Rc::clone(&task), async move { tell(&task, &topic, reason, sockets).await });
}

async fn tell<R: Replica, H: Host>(
    driver: &Rc<ReplicaDriver<R, H>>,
    topic: &LogTopic,
    reason: Unrecovered,
    sockets: Vec<(SocketId, ClientId)>,
) {
    let Ok(replica) = driver.awake().await else { return };
    let socket = |(id, client): (SocketId, ClientId)| Socket::new(driver.port(), id, client);
    let sockets: Vec<_> = sockets.into_iter().map(socket).collect();
    let context = driver.context();
    let told = pin!(replica.on_lost(&context, topic.name(), reason, &sockets));
    let (told, has_gone_on) = match select(told, driver.host().sleep(ON_OPEN_HOLDS)).await {
        Either::Left((told, _)) => (told, false),
        Either::Right(((), unfinished)) => {
            go_on(driver, topic, &sockets);
            (unfinished.await, true)
        }
    };
    if let Err(failure) = told {
        report_failure(&**driver.host(), UserFunction::OnLost, Some(driver.core.object()), None, &failure);
        sockets.iter().for_each(|socket| socket.close(CloseCode::TRY_AGAIN, reason.as_str()));
    }
    if !has_gone_on {
        go_on(driver, topic, &sockets);
    }
}

fn go_on<R: Replica, H: Host>(driver: &ReplicaDriver<R, H>, topic: &LogTopic, sockets: &[Socket]) {
    for socket in sockets.iter().map(Socket::id) {
        let next = driver.followers.catch_ups().borrow_mut().end_on_lost(topic, socket);
        if next == Next::GoOn {
            go_on_soon(driver, topic, socket);
        }
    }
}
