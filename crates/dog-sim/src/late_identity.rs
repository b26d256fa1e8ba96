//! Clients that become known after their sockets have opened: what the App does with them in a run, and the checks of that.

use dog::{Anonymous, ClientId, CloseCode, Error, Group, GroupHandle, ReplicaHandle, Socket, Timestamp};

use crate::record::RunRecord;
use crate::witness::Witness;

/// The code with which sockets close whose clients were not assigned in time.
pub(crate) const UNASSIGNED: CloseCode = CloseCode::from_raw(4008);

/// Parts of the paths with which clients come that are not known yet.
pub(crate) const ANONYMOUS: &[&str] = &["&anonymous=until-assigned", "&anonymous=for-good"];

/// Finds a Replica for the client of a request. `anonymous` is the value of its parameter, if it has one.
pub(crate) async fn identify<G: Group>(
    group: &GroupHandle<G>,
    client: &ClientId,
    anonymous: Option<&str>,
) -> Result<ReplicaHandle<G::Replica>, Error> {
    match anonymous {
        Some("for-good") => group.identify_anonymous(Anonymous::ForGood).await,
        Some(_) => group.identify_anonymous(Anonymous::UntilAssigned).await,
        None => group.identify(client).await,
    }
}

/// A socket opens. If it has to be assigned, then by `due`. If requests come twice, the one that is refused may be placed again
/// with the id that it has, while the socket of the other one is still open.
pub(crate) fn opens(witness: &Witness, socket: &Socket, due: Timestamp, doubles: bool) {
    let client = socket.client();
    if client.is_anonymous() {
        let mut record = witness.record();
        let (open, due) = (record.open_sockets(), client.awaits_assignment().then_some(due));
        let outcome =
            record.late().opens((socket.id(), client.as_str()), due, |socket| !doubles && open.contains(&socket));
        record.check(8, outcome);
    }
}

/// Names the client of a socket. Returns whether the Group knows it.
pub(crate) async fn assign(witness: &Witness, socket: &Socket, client: &ClientId) -> bool {
    let is_first = begins(&mut witness.record(), socket, client);
    let assigned = socket.assign(client).await;
    let mut record = witness.record();
    let wrong = match &assigned {
        Ok(()) if !is_first => Some("was assigned, although it was known"),
        Err(error) if error.is_assigned() && is_first => Some("cannot be assigned, although it was not known"),
        Err(error) if !is_first && !error.is_assigned() && !error.is_closed() => Some("fails to be assigned twice"),
        _ => None,
    };
    let label = || format!("the client of socket {} {}: {assigned:?}", socket.id().raw(), wrong.unwrap_or_default());
    let outcome = wrong.map_or(Ok(()), |_| Err(label()));
    record.check(8, outcome);
    if assigned.is_ok() {
        record.late().assigned(socket.id());
    }
    assigned.is_ok()
}

/// Returns whether the client can be named, because it is not known yet and its socket is open.
fn begins(record: &mut RunRecord, socket: &Socket, client: &ClientId) -> bool {
    let is_generated = record.late().is_generated(socket.id());
    let now = record.moment();
    let Some(open) = record.sockets.get_mut(&socket.id()).filter(|open| open.is_open && is_generated) else {
        return false;
    };
    open.client = client.as_str().into();
    record.late().assign_begins(socket.id(), client.as_str(), now);
    // Messages on their way may leave out the client whose socket this is from now on.
    record.owed.retain(|(_, owed), _| *owed != socket.id());
    true
}

/// Promise 12: the socket was closed with this code.
pub(crate) fn closes(witness: &Witness, socket: &Socket, code: CloseCode, now: Timestamp) {
    if code == UNASSIGNED {
        let mut record = witness.record();
        let outcome = record.late().closes_unassigned(socket.id(), now);
        record.check(12, outcome);
    }
}
