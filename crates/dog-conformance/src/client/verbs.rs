//! The commands that scenarios use most, with their replies unpacked.

use dog::{ClientId, Position, ReplicaId};

use super::Client;
use crate::app::protocol::{
    Act, Answer, Ask, JournalReport, LogAct, LogTold, PresenceAct, PresenceTold, Told, TopicAct, Whom, Why,
};
use crate::check::{Outcome, ScenarioFailure, eventually};

impl Client {
    /// Sends a command and returns its result.
    ///
    /// # Errors
    /// If there is no reply in time.
    pub async fn ask(&mut self, act: Act) -> Outcome<Told> {
        let command = self.tell(act).await?;
        Ok(self.reply(command).await?.told)
    }

    /// Sends a command whose result must be [`Told::Done`].
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn obey(&mut self, act: Act) -> Outcome {
        match self.ask(act).await? {
            Told::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Emits to everyone.
    ///
    /// # Errors
    /// If the result is not [`Told::Done`].
    pub async fn emit(&mut self, text: &str) -> Outcome {
        self.obey(Act::Emit { text: text.into(), to: Whom::Everyone }).await
    }

    /// Broadcasts to everyone.
    ///
    /// # Errors
    /// If the result is not [`Told::Done`].
    pub async fn broadcast(&mut self, text: &str) -> Outcome {
        self.obey(Act::Broadcast { text: text.into(), to: Whom::Everyone }).await
    }

    /// Broadcasts to `to`. Returns how many sockets accepted the message, and which Replicas did not answer.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn confirmed(&mut self, text: &str, to: Whom) -> Outcome<(usize, Vec<ReplicaId>)> {
        match self.ask(Act::Confirmed { text: text.into(), to }).await? {
            Told::Reached { sockets, missing } => Ok((sockets, missing)),
            other => Err(unexpected(&other)),
        }
    }

    /// Whispers. Returns how many sockets accepted the message.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn whisper(&mut self, client: &str, text: &str) -> Outcome<usize> {
        let client = ClientId::new(client)?;
        match self.ask(Act::Whisper { text: text.into(), client }).await? {
            Told::Took { sockets } => Ok(sockets),
            other => Err(unexpected(&other)),
        }
    }

    /// Gossips. Returns the answers, and which Replicas did not answer and why.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn gossip(&mut self, ask: Ask) -> Outcome<(Vec<(ReplicaId, Answer)>, Vec<(ReplicaId, Why)>)> {
        match self.ask(Act::Gossip { ask }).await? {
            Told::Heard { answers, missing, .. } => Ok((answers, missing)),
            other => Err(unexpected(&other)),
        }
    }

    /// Subscribes to a topic.
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn subscribe(&mut self, topic: &str) -> Outcome {
        self.obey(Act::Topic(TopicAct::Subscribe { topic: topic.into() })).await
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn unsubscribe(&mut self, topic: &str) -> Outcome {
        self.obey(Act::Topic(TopicAct::Unsubscribe { topic: topic.into() })).await
    }

    /// The topics of this socket.
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn topics(&mut self) -> Outcome<Vec<String>> {
        match self.ask(Act::Topic(TopicAct::Topics)).await? {
            Told::Topics { topics } => Ok(topics),
            other => Err(unexpected(&other)),
        }
    }

    /// Publishes to a topic. Returns the position.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn publish(&mut self, topic: &str, text: &str) -> Outcome<Position> {
        let (topic, text) = (topic.into(), text.into());
        let positions = self.published(LogAct::Publish { topic, text, key: None }).await?;
        positions.into_iter().next().ok_or_else(|| ScenarioFailure::new("no position"))
    }

    /// Publishes what the command says. Returns the positions.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn published(&mut self, act: LogAct) -> Outcome<Vec<Position>> {
        match self.ask(Act::Log(act)).await? {
            Told::Log { log: LogTold::Published(positions) } => {
                Ok(positions.iter().map(|position| position.parse()).collect::<Result<_, _>>()?)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Publishes to a topic. Returns the position, how many sockets took it, and how many Replicas did not answer.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn publish_confirmed(
        &mut self,
        topic: &str,
        text: &str,
        key: Option<&str>,
    ) -> Outcome<(Position, usize, usize)> {
        let (topic, text, key) = (topic.into(), text.into(), key.map(Into::into));
        match self.ask(Act::Log(LogAct::PublishConfirmed { topic, text, key })).await? {
            Told::Log { log: LogTold::Confirmed { position, sockets, missing } } => {
                Ok((position.parse()?, sockets, missing))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Goes on where the client has been. Returns how many publications are replayed, or why they cannot be.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn resume(&mut self, topic: &str, since: &Position) -> Outcome<Result<u64, String>> {
        let (topic, since) = (topic.into(), since.to_string());
        match self.ask(Act::Log(LogAct::Resume { topic, since })).await? {
            Told::Log { log } => recovered(log),
            other => Err(unexpected(&other)),
        }
    }

    /// What a socket that has opened with a position is told first.
    ///
    /// # Errors
    /// If it hears something else.
    pub async fn told_what_it_has_missed(&mut self) -> Outcome<Result<u64, String>> {
        recovered(serde_json::from_str(&self.hear().await?)?)
    }

    /// Reads a page of a history: where the log ends, the publications, and whether there is more.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn history(
        &mut self,
        topic: &str,
        since: Option<&Position>,
        (newest_first, limit): (bool, usize),
    ) -> Outcome<(Position, Vec<(u64, String)>, bool)> {
        let (topic, since) = (topic.into(), since.map(Position::to_string));
        match self.ask(Act::Log(LogAct::History { topic, since, newest_first, limit })).await? {
            Told::Log { log: LogTold::Page { head, publications, more } } => Ok((head.parse()?, publications, more)),
            other => Err(unexpected(&other)),
        }
    }

    /// Broadcasts to a topic.
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn broadcast_to(&mut self, topic: &str, text: &str) -> Outcome {
        let (topic, text, to) = (topic.into(), text.into(), Whom::Everyone);
        self.obey(Act::Topic(TopicAct::BroadcastTo { topic, text, to })).await
    }

    /// Emits to a topic.
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn emit_to(&mut self, topic: &str, text: &str, to: Whom) -> Outcome {
        self.obey(Act::Topic(TopicAct::EmitTo { topic: topic.into(), text: text.into(), to })).await
    }

    /// Sets a presence value.
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn set_presence(&mut self, text: &str) -> Outcome {
        self.obey(Act::Presence(PresenceAct::Set { text: text.into() })).await
    }

    /// Reads who is in the Group, in pages of this size.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn presence(&mut self, limit: usize) -> Outcome<PresenceTold> {
        self.presence_of(None, limit).await
    }

    /// Reads who is in a topic, in pages of this size.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn presence_of(&mut self, topic: Option<&str>, limit: usize) -> Outcome<PresenceTold> {
        let topic = topic.map(ToOwned::to_owned);
        match self.ask(Act::Presence(PresenceAct::Read { topic, limit })).await? {
            Told::Present { there } => Ok(there),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a command that must be refused. Returns why.
    ///
    /// # Errors
    /// If the result is another one.
    pub async fn refused(&mut self, act: Act) -> Outcome<Why> {
        match self.ask(act).await? {
            Told::Refused { why } => Ok(why),
            other => Err(unexpected(&other)),
        }
    }

    /// The journal of this client's Replica.
    ///
    /// # Errors
    /// If there is no such reply.
    pub async fn report(&mut self) -> Outcome<JournalReport> {
        self.inquire(Ask::Report).await
    }

    /// The journal of this client's Replica, once all sockets of `client` there have ended.
    ///
    /// # Errors
    /// If they do not end in time.
    pub async fn report_after(&mut self, client: &ClientId) -> Outcome<JournalReport> {
        self.inquire(Ask::Ended(client.clone())).await
    }

    async fn inquire(&mut self, ask: Ask) -> Outcome<JournalReport> {
        match self.ask(Act::Ask { ask }).await? {
            Told::Answered { answer: Answer::Report(report) } => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// The journals of all Replicas of the cluster, this client's first. A Replica that misses the deadline of gossip, because
    /// the machine is busy, is asked again.
    ///
    /// # Errors
    /// If one does not answer.
    pub async fn survey(&mut self) -> Outcome<Vec<(ReplicaId, JournalReport)>> {
        let mut reports = vec![(self.replica(), self.report().await?)];
        let mut answers = Vec::new();
        eventually("all answer gossip", async || {
            let (heard, missing) = self.gossip(Ask::Report).await?;
            answers = heard;
            match missing.iter().find(|(_, why)| *why != Why::Deadline) {
                Some(missing) => Err(ScenarioFailure::new(format!("no answer to gossip from {missing:?}"))),
                None => Ok(missing.is_empty()),
            }
        })
        .await?;
        for (replica, answer) in answers {
            match answer {
                Answer::Report(report) => reports.push((replica, report)),
                other => return Err(ScenarioFailure::new(format!("a sibling answered {other:?} to Ask::Report"))),
            }
        }
        Ok(reports)
    }
}

#[track_caller]
fn unexpected(told: &Told) -> ScenarioFailure {
    ScenarioFailure::new(format!("an unexpected reply: {told:?}"))
}

fn recovered(told: LogTold) -> Outcome<Result<u64, String>> {
    match told {
        LogTold::Recovered(count, _) => Ok(Ok(count)),
        LogTold::Unrecovered(reason) => Ok(Err(reason)),
        other => Err(ScenarioFailure::new(format!("{other:?}"))),
    }
}
