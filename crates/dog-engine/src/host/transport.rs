//! Messages and requests between objects.

use dog::internal::LocalFuture;
use dog::{Error, Request, Response};

use crate::address::{GroupAddress, ReplicaAddress, Targets, Ticket};
use crate::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::seats::Refusal;

/// Calls (with an answer), casts (without one) and requests from one object to another.
///
/// Calls and casts from one object to another arrive in the order in which they were made. They can be lost; a call then
/// fails or never completes, and the engine sets its own deadlines. A call is sent when the method is called, not when the
/// future is first polled.
pub trait Transport {
    /// Calls a Group.
    fn call_group(&self, to: GroupAddress, call: GroupCall) -> LocalFuture<Result<GroupAnswer, Error>>;
    /// Casts to a Group.
    fn cast_group(&self, to: GroupAddress, cast: GroupCast);
    /// Calls a Replica.
    fn call_replica(&self, to: ReplicaAddress, call: ReplicaCall) -> LocalFuture<Result<ReplicaAnswer, Error>>;
    /// Makes the same call to Replicas of one Group. Returns their answers in the order of `to`. A host can send the call once
    /// to a place where several of them live.
    fn call_replicas(&self, to: &Targets, call: &ReplicaCall) -> Vec<LocalFuture<Result<ReplicaAnswer, Error>>> {
        to.iter().map(|replica| self.call_replica(to.address(replica), call.clone())).collect()
    }
    /// Casts to Replicas of one Group.
    fn cast_replicas(&self, to: &Targets, cast: ReplicaCast);
    /// Waits for permission to call `count` Replicas on behalf of a user's handler, in the order of requests. A host can use
    /// this to bound the calls in flight when many handlers call many Replicas at once. By default nothing is bounded.
    ///
    /// # Errors
    /// When too many handlers wait already.
    fn acquire_calls(&self, count: usize) -> LocalFuture<Result<Box<dyn CallPermits>, Error>> {
        let _ = count;
        Box::pin(async { Ok(Box::new(Unbounded) as Box<dyn CallPermits>) })
    }
    /// Forwards a request to a Group.
    fn fetch_group(&self, to: GroupAddress, request: Request) -> LocalFuture<Result<Response, Error>>;
    /// Forwards a request to a Replica, with the ticket that reserves a seat for it.
    fn fetch_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
    ) -> LocalFuture<Result<Fetched, Error>>;
}

/// Permission for calls in flight, from [`Transport::acquire_calls`]. Dropping it releases what is left.
pub trait CallPermits {
    /// One call was answered, so its permit is released.
    fn release_one(&mut self);
}

/// The permits of a host that does not bound calls.
struct Unbounded;

impl CallPermits for Unbounded {
    fn release_one(&mut self) {}
}

/// The outcome of a request to a Replica.
#[derive(Debug)]
pub enum Fetched {
    /// The Replica answered.
    Response(Response),
    /// The Replica did not accept the ticket. The request comes back unchanged.
    Refused {
        /// The request.
        request: Request,
        /// Why the ticket was not accepted.
        refusal: Refusal,
    },
}
