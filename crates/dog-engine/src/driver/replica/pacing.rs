//! What happens to messages that are over the rate of their socket.

use std::time::Duration;

use dog::internal::SocketErrorKind;
use dog::{Close, CloseCode, OverRate, Replica, SocketError, SocketId};

use super::ReplicaDriver;
use super::turns::EndedBy;
use crate::host::{End, Host, Occurrence};

/// How long a message that is over the rate waits before it is checked whether its socket is still open.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether a message may go on to its handler, or wait for it. Those that may wait are counted when their turn comes.
pub(super) fn admits<R: Replica, H: Host>(
    driver: &ReplicaDriver<R, H>,
    socket: SocketId,
    length: usize,
    over: OverRate,
) -> bool {
    let is_over = match over {
        // Hosts that can stop reading do so before.
        OverRate::Delay => driver.turns.borrow().is_full(socket),
        OverRate::Drop | OverRate::Close => time_over_rate(driver, socket, length).is_some(),
    };
    if !is_over {
        return true;
    }
    let closes = over != OverRate::Drop;
    driver.host().occurred(Occurrence::OverRate(if closes { OverRate::Close } else { over }));
    if closes {
        let (code, reason) = (CloseCode::POLICY, "too many messages");
        driver.outlets.close(socket, code, reason);
        let error = SocketError::new(SocketErrorKind::TooFast, Close::new(code, reason));
        driver.end_socket(socket, End::Error(error), EndedBy::Host);
    }
    false
}

/// Waits until the next message of a socket keeps to its rate. What a socket has sent before its end is not delayed.
pub(super) async fn keep_to_rate<R: Replica, H: Host>(driver: &ReplicaDriver<R, H>, socket: SocketId, length: usize) {
    let mut is_first = true;
    while let Some(wait) = time_over_rate(driver, socket, length) {
        if std::mem::take(&mut is_first) {
            driver.host().occurred(Occurrence::OverRate(OverRate::Delay));
        }
        // The socket may end meanwhile.
        driver.host().sleep(wait.min(LOOK_AGAIN)).await;
    }
}

/// How long a message has to wait to keep to the rate. A socket that has ended has none: nothing would be forgotten again.
fn time_over_rate<R: Replica, H: Host>(
    driver: &ReplicaDriver<R, H>,
    socket: SocketId,
    length: usize,
) -> Option<Duration> {
    driver.seats.borrow().client(socket)?;
    driver.rates.take(socket, length, driver.host().now())
}
