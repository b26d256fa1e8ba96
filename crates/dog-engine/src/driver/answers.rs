//! What a Replica answers when its Group or a sibling asks.

use std::rc::Rc;

use dog::internal::Kind;
use dog::{Error, Replica};

use super::life::{Living, answer, start};
use super::replica::ReplicaDriver;
use crate::host::{Host, Occurrence};
use crate::message::{ReplicaAnswer, ReplicaCall};
use crate::repeats::seldom;
use crate::reply::Reply;

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    /// Someone asks. What does not need the user's value is answered at once.
    pub(super) fn asked(self: &Rc<Self>, call: ReplicaCall, reply: Reply<ReplicaAnswer>) {
        if self.life().has_ended() {
            return;
        }
        let this = Rc::clone(self);
        match call {
            ReplicaCall::Join(enrolment) => {
                self.enrol(enrolment);
                start(self, async move { answer(reply, this.join()).await });
            }
            ReplicaCall::Gossip(gossip) => {
                start(self, async move { answer(reply, this.gossip_came(&gossip)).await });
            }
            ReplicaCall::Meet(view) => {
                self.meet(view);
                self.answer_now(ReplicaAnswer::Known(self.epoch), reply);
            }
            ReplicaCall::Census(enrolment) => {
                self.enrol(enrolment);
                let census = self.seats.borrow().census();
                self.answer_now(ReplicaAnswer::Counted(census), reply);
            }
            ReplicaCall::Deliver(delivery) => {
                let reached = self.deliver(&delivery.message, delivery.except.as_ref());
                self.answer_now(ReplicaAnswer::Delivered(reached), reply);
            }
            ReplicaCall::Whisper { client, message } => {
                let reached = self.deliver_to(&client, &message);
                self.answer_now(ReplicaAnswer::Delivered(reached), reply);
            }
        }
    }

    /// The user's value is not needed to answer: a Replica that rests goes on resting.
    fn answer_now(&self, answer: ReplicaAnswer, reply: Reply<ReplicaAnswer>) {
        reply.send(Ok(answer));
        if let Some(this) = self.this.upgrade() {
            self.idle.watch(&this, Self::hibernate);
        }
    }

    /// The view was taken when the call came: only the waking is waited for.
    async fn join(&self) -> Result<ReplicaAnswer, Error> {
        self.awake().await?;
        Ok(ReplicaAnswer::Counted(self.seats.borrow().census()))
    }

    async fn gossip_came(&self, gossip: &[u8]) -> Result<ReplicaAnswer, Error> {
        let replica = self.awake().await?;
        let gossip = dog::internal::decode(gossip)?;
        let answer = replica.on_gossip(&self.context(), gossip).await.map_err(|failure| {
            self.host.occurred(Occurrence::Failed { handler: "on_gossip", cause: &failure });
            seldom!(self.host, error, "on_gossip failed", replica = %self.address, "on_gossip failed: {failure}");
            Error::new(Kind::Handler, "the sibling's on_gossip failed")
        })?;
        Ok(ReplicaAnswer::Gossip(dog::internal::encode(&answer)?))
    }
}
