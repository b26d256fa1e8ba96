//! How node messages, and news from the cluster, reach the workers of this node.

use std::sync::Arc;

use dog::{ReplicaId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, NodeId, Object, ReplicaAddress, Targets};
use dog_engine::message::{GroupAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire::ToGroup;
use tracing::Span;

use super::inbox::Receive;
use super::message::{GroupName, NodeMessage, RemoteAnswer, ReplyTo, received_ticket, unbundle};
use super::node::Identity;
use crate::mail::{Answer, Mail, ReturnAddress, RoutingMail};
use crate::post::Post;
use crate::repeats::seldom;

/// Sorts messages and news from the cluster into the mailboxes of the workers that they concern.
pub(crate) struct Receiver {
    post: Post,
    identity: Arc<Identity>,
}

/// Mail for each worker.
type Sorted = Vec<Vec<Mail>>;

impl Receiver {
    pub(crate) fn new(post: Post, identity: Arc<Identity>) -> Self {
        Self { post, identity }
    }

    fn group(&self, name: &GroupName) -> Option<GroupAddress> {
        let address = name.address(self.identity.classes());
        if address.is_none() {
            seldom!(
                warn,
                "a node message for a Group that App::Groups does not name",
                class = name.class,
                "a node message is for a Group that App::Groups does not name"
            );
        }
        address
    }

    fn sort(&self, message: NodeMessage, mail: &mut Sorted) {
        match message {
            NodeMessage::Group { to, what, back } => self.sort_group(&to, what, back, mail),
            NodeMessage::Replica { to, replica, call, back } => self.sort_calls(&to, &[(replica, back)], &call, mail),
            NodeMessage::Calls { to, asked, call } => self.sort_calls(&to, &asked, &call, mail),
            NodeMessage::Cast { to, replicas, cast } => self.sort_casts(&to, replicas, &[cast], mail),
            NodeMessage::Casts { to, replicas, casts } => self.sort_casts(&to, replicas, &casts, mail),
            NodeMessage::Answer { back: ReplyTo { worker, call, .. }, answer } => {
                let answer = answer.map(|answer| self.answer(answer));
                if let Some(mail) = mail.get_mut(worker as usize) {
                    mail.push(Mail::Answer { call, answer });
                }
            }
            NodeMessage::Lives { group, replica, node } => {
                let Some(group) = self.group(&group) else { return };
                let object = match replica {
                    Some(replica) => Object::Replica(ReplicaAddress { group, replica: ReplicaId::from_bytes(replica) }),
                    None => Object::Group(group),
                };
                for mail in mail {
                    mail.push(Mail::Routing(RoutingMail::Moved { object, node }));
                }
            }
        }
    }

    fn sort_group(&self, to: &GroupName, what: ToGroup, back: Option<ReplyTo>, mail: &mut Sorted) {
        let Some(to) = self.group(to) else { return };
        let mail = &mut mail[self.post.worker_of(to.group.as_bytes())];
        match (what, back) {
            (ToGroup::Call(call), Some(back)) => mail.push(Mail::GroupCall { to, call, back: back.into() }),
            (ToGroup::Cast(cast), _) => mail.push(Mail::GroupCast { to, cast }),
            (ToGroup::Call(_), None) => {
                let kind = "a call without an address for its answer";
                seldom!(warn, kind, "a call of another node came without an address for its answer");
            }
        }
    }

    fn answer(&self, answer: RemoteAnswer) -> Answer {
        match answer {
            RemoteAnswer::Group(GroupAnswer::Identified(ticket)) => {
                Answer::Group(GroupAnswer::Identified(received_ticket(ticket, self.identity.clock().now())))
            }
            RemoteAnswer::Group(answer) => Answer::Group(answer),
            RemoteAnswer::Replica(answer) => Answer::Replica(answer),
        }
    }

    fn sort_calls(&self, to: &GroupName, asked: &[([u8; 32], ReplyTo)], call: &ReplicaCall, mail: &mut Sorted) {
        let Some(group) = self.group(to) else { return };
        for (replica, back) in asked {
            let to = ReplicaAddress { group, replica: ReplicaId::from_bytes(*replica) };
            let call = Mail::ReplicaCall { to, call: call.clone(), back: (*back).into() };
            mail[self.post.worker_of(replica)].push(call);
        }
    }

    fn sort_casts(&self, to: &GroupName, replicas: Vec<[u8; 32]>, casts: &[ReplicaCast], mail: &mut Sorted) {
        let Some(group) = self.group(to) else { return };
        let mut concerned = vec![false; mail.len()];
        replicas.iter().for_each(|replica| concerned[self.post.worker_of(replica)] = true);
        let replicas = replicas.into_iter().map(ReplicaId::from_bytes).collect();
        let to = Targets { group, replicas, except: None };
        for (mail, _) in mail.iter_mut().zip(concerned).filter(|(_, concerned)| *concerned) {
            mail.extend(casts.iter().map(|cast| Mail::ReplicaCast { to: to.clone(), cast: cast.clone() }));
        }
    }

    fn alarm_seen(&self, object: Object, at: Option<Timestamp>) {
        let mail = Mail::Routing(RoutingMail::AlarmSeen { object, at });
        self.post.send(self.post.worker_of(object.id()), vec![mail]);
    }
}

impl Receive for Receiver {
    fn messages(&self, bundle: &[u8]) {
        let messages = match unbundle(bundle, self.identity.versions()) {
            Ok((_, messages)) => messages,
            Err(error) => {
                let kind = "messages of another node refused";
                return seldom!(warn, kind, "messages of another node were refused: {error}");
            }
        };
        let mut mail: Sorted = (0..self.post.workers()).map(|_| Vec::new()).collect();
        for message in messages {
            self.sort(message, &mut mail);
        }
        for (worker, mail) in mail.into_iter().enumerate().filter(|(_, mail)| !mail.is_empty()) {
            self.post.send(worker, mail);
        }
    }

    fn node_gone(&self, node: NodeId) {
        self.post.send_to_all(|| Mail::Routing(RoutingMail::NodeGone { node }));
    }

    fn lease_lost(&self) {
        self.identity.clear();
        self.post.send_to_all(|| Mail::Routing(RoutingMail::LeaseLost));
    }

    fn rejoined(&self, node: NodeId) {
        self.identity.set(node);
    }

    fn alarm(&self, object: Object, class: &str, at: Option<Timestamp>) {
        match (self.identity.class(class), at) {
            (Some(class), _) => self.alarm_seen(object.of_class(class), at),
            // If an alarm is not set, its record does not contain the class of the object.
            (None, None) => {
                for class in 0..u16::try_from(self.identity.classes().len()).unwrap_or(u16::MAX) {
                    self.alarm_seen(object.of_class(ClassIndex(class)), None);
                }
            }
            (None, Some(_)) => {
                let kind = "an alarm set for a Group that App::Groups does not name";
                seldom!(warn, kind, class, "an alarm is set for a Group that App::Groups does not name");
            }
        }
    }
}

impl From<ReplyTo> for ReturnAddress {
    fn from(ReplyTo { node, worker, call }: ReplyTo) -> Self {
        Self { node, worker: worker as usize, call, asking: None, span: Span::none() }
    }
}
