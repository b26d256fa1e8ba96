//! The commands that scenarios give most, with their answers unpacked.

use dog::{ClientId, ReplicaId};

use super::Client;
use crate::app::protocol::{Act, Answer, Ask, Report, Told, Whom, Why};
use crate::check::{Outcome, Trouble, eventually};

impl Client {
    /// Gives a command: what came of it.
    ///
    /// # Errors
    /// When there is no reply in time.
    pub async fn ask(&mut self, act: Act) -> Outcome<Told> {
        let command = self.tell(act).await?;
        Ok(self.reply(command).await?.told)
    }

    /// Gives a command that is to be [`Told::Done`].
    ///
    /// # Errors
    /// When it is not.
    pub async fn obey(&mut self, act: Act) -> Outcome {
        match self.ask(act).await? {
            Told::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Emits to everyone.
    ///
    /// # Errors
    /// When it is not done.
    pub async fn emit(&mut self, text: &str) -> Outcome {
        self.obey(Act::Emit { text: text.into(), to: Whom::Everyone }).await
    }

    /// Broadcasts to everyone.
    ///
    /// # Errors
    /// When it is not done.
    pub async fn broadcast(&mut self, text: &str) -> Outcome {
        self.obey(Act::Broadcast { text: text.into(), to: Whom::Everyone }).await
    }

    /// Broadcasts to `to`: how many sockets took it, and which Replicas did not answer.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn confirmed(&mut self, text: &str, to: Whom) -> Outcome<(usize, Vec<ReplicaId>)> {
        match self.ask(Act::Confirmed { text: text.into(), to }).await? {
            Told::Reached { sockets, missing } => Ok((sockets, missing)),
            other => Err(unexpected(&other)),
        }
    }

    /// Whispers: how many sockets took it.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn whisper(&mut self, client: &str, text: &str) -> Outcome<usize> {
        let client = ClientId::new(client)?;
        match self.ask(Act::Whisper { text: text.into(), client }).await? {
            Told::Took { sockets } => Ok(sockets),
            other => Err(unexpected(&other)),
        }
    }

    /// Gossips: who answered what, and who did not and why.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn gossip(&mut self, ask: Ask) -> Outcome<(Vec<(ReplicaId, Answer)>, Vec<(ReplicaId, Why)>)> {
        match self.ask(Act::Gossip { ask }).await? {
            Told::Heard { answers, missing, .. } => Ok((answers, missing)),
            other => Err(unexpected(&other)),
        }
    }

    /// What this client's Replica has seen.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn report(&mut self) -> Outcome<Report> {
        self.inquire(Ask::Report).await
    }

    /// What this client's Replica has seen, once the sockets that `client` has there have ended.
    ///
    /// # Errors
    /// When they do not end in time.
    pub async fn report_after(&mut self, client: &ClientId) -> Outcome<Report> {
        self.inquire(Ask::Ended(client.clone())).await
    }

    async fn inquire(&mut self, ask: Ask) -> Outcome<Report> {
        match self.ask(Act::Ask { ask }).await? {
            Told::Answered { answer: Answer::Report(report) } => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// What all Replicas of the cluster have seen, this client's first. Those that a busy machine keeps from answering
    /// within gossip's own deadline are asked again.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn survey(&mut self) -> Outcome<Vec<(ReplicaId, Report)>> {
        let mut reports = vec![(self.replica(), self.report().await?)];
        let mut answers = Vec::new();
        eventually("all answer gossip", async || {
            let (heard, missing) = self.gossip(Ask::Report).await?;
            answers = heard;
            match missing.iter().find(|(_, why)| *why != Why::Deadline) {
                Some(missing) => Err(Trouble::new(format!("no answer to gossip from {missing:?}"))),
                None => Ok(missing.is_empty()),
            }
        })
        .await?;
        for (replica, answer) in answers {
            match answer {
                Answer::Report(report) => reports.push((replica, report)),
                other => return Err(Trouble::new(format!("a sibling answered {other:?} to Ask::Report"))),
            }
        }
        Ok(reports)
    }
}

#[track_caller]
fn unexpected(told: &Told) -> Trouble {
    Trouble::new(format!("an unexpected reply: {told:?}"))
}
