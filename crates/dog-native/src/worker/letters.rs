//! What leaves for other nodes: letters, a bundle a node and turn; and requests, each over a connection of its own.

use dog::internal::Kind;
use dog::{Error, ReplicaId, Request};
use dog_engine::address::{GroupAddress, NodeId, Object, ReplicaAddress, Ticket};
use dog_engine::host::Fetched;
use dog_engine::message::{GroupAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire::ToGroup;

use super::Worker;
use super::abroad::Abroad;
use super::mail::{Answer, Mail, ReturnAddress};
use crate::cluster::letter::{Back, GroupName, Head, Letter, Told, bundle, can_be_asked, leaving};
use crate::cluster::peer;
use crate::repeats::seldom;

/// Letters that are told apart only by their number may be many; what they carry may be large: a bundle above this is
/// sent in two.
const LARGE: usize = 256 * 1024;
/// So many statements share a list of addresses, and none of them is longer than this: what is to be sent in two is cut
/// between lists.
const MOST_CASTS: usize = 64;
const LONGEST_CAST: usize = 4 * 1024;
/// So many Replicas share a question.
const MOST_ASKED: usize = 2048;

fn may_share(cast: &ReplicaCast) -> bool {
    match cast {
        ReplicaCast::Deliver(delivery) => delivery.message.len() <= LONGEST_CAST,
        ReplicaCast::Acknowledge { .. } => true,
    }
}

impl Abroad {
    fn name(&self, group: GroupAddress) -> GroupName {
        GroupName::new(group, &self.joined.state.classes)
    }

    fn write(&self, to: NodeId, letter: Letter) {
        self.letters.borrow_mut().entry(to).or_default().push(letter);
    }

    /// A statement to Replicas at that node. It joins the one before if that goes to the same: one list of them serves all.
    fn write_cast(&self, node: NodeId, group: GroupAddress, replicas: &[ReplicaId], cast: &ReplicaCast) {
        let mut letters = self.letters.borrow_mut();
        let letters = letters.entry(node).or_default();
        if let Some(Letter::Casts { to, replicas: known, casts }) = letters.last_mut()
            && casts.len() < MOST_CASTS
            && may_share(cast)
            && casts.first().is_some_and(may_share)
            && replicas.iter().map(ReplicaId::as_bytes).eq(known.iter())
            && to.names(group, &self.joined.state.classes)
        {
            return casts.push(cast.clone());
        }
        let replicas = replicas.iter().map(|replica| *replica.as_bytes()).collect();
        letters.push(Letter::Casts { to: self.name(group), replicas, casts: vec![cast.clone()] });
    }

    /// A question to a Replica at that node. It joins the one before if that is the same: what is asked of all siblings
    /// goes to each node once, the view of a large room among it.
    fn write_call(&self, node: NodeId, replica: ReplicaAddress, call: ReplicaCall, back: Back) {
        let mut letters = self.letters.borrow_mut();
        let letters = letters.entry(node).or_default();
        let (group, replica) = (replica.group, *replica.replica.as_bytes());
        if let Some(Letter::Calls { to, asked, call: before }) = letters.last_mut()
            && asked.len() < MOST_ASKED
            && *before == call
            && to.names(group, &self.joined.state.classes)
        {
            return asked.push((replica, back));
        }
        letters.push(Letter::Calls { to: self.name(group), asked: vec![(replica, back)], call });
    }

    /// Sends what was written in this turn.
    pub(super) fn post_letters(&self) {
        let letters = std::mem::take(&mut *self.letters.borrow_mut());
        for (node, letters) in letters {
            self.post_bundle(node, &letters, self.version_of(node));
        }
    }

    /// The newest version that this node and that one speak. One that nobody has heard of gets the oldest.
    fn version_of(&self, node: NodeId) -> u8 {
        let ours = self.joined.state.versions;
        if let Some(version) = self.versions.borrow().get(&node) {
            return *version;
        }
        let theirs = self.joined.ports.directory.versions(node);
        let version = theirs.and_then(|theirs| ours.in_common(theirs));
        self.versions.borrow_mut().extend(version.map(|version| (node, version)));
        version.unwrap_or(ours.oldest)
    }

    fn post_bundle(&self, to: NodeId, letters: &[Letter], version: u8) {
        match bundle(self.joined.node(), letters, version) {
            Ok(bundle) if bundle.len() > LARGE && letters.len() > 1 => {
                let (first, second) = letters.split_at(letters.len() / 2);
                self.post_bundle(to, first, version);
                self.post_bundle(to, second, version);
            }
            Ok(bundle) => self.joined.ports.link.send(to, bundle),
            Err(error) => {
                seldom!(
                    error,
                    "a letter cannot be written",
                    "what is to be sent to node {to} cannot be written: {error}"
                );
            }
        }
    }
}

impl Worker {
    /// Sends to an object at another node.
    pub(super) fn send_abroad(&self, abroad: &Abroad, node: NodeId, object: Object, mail: Mail) {
        self.queued();
        let (me, to) = (abroad.joined.node(), node);
        let back_to = |back: &ReturnAddress| {
            let node = if back.node == NodeId::default() { me } else { back.node };
            if node == me && back.worker == self.index {
                abroad.asked.borrow_mut().insert(back.question, to);
            }
            Back { node, worker: u32::try_from(back.worker).unwrap_or(u32::MAX), question: back.question }
        };
        if let Some(asker) = mail.asker().filter(|asker| *asker != NodeId::default() && *asker != me) {
            // It was looked for here.
            let replica = match object {
                Object::Group(_) => None,
                Object::Replica(address) => Some(*address.replica.as_bytes()),
            };
            abroad.write(asker, Letter::Lives { group: abroad.name(object.group()), replica, node });
        }
        match mail {
            Mail::GroupCall { call, back, .. } if !can_be_asked(&call, abroad.version_of(node)) => {
                let text = "the Group is at a node of an earlier release, which cannot say it";
                self.answer_back(&back, Err(Error::new(Kind::Unreachable, text)));
            }
            Mail::GroupCall { to, call, back } => {
                let (to, back) = (abroad.name(to), Some(back_to(&back)));
                abroad.write(node, Letter::Group { to, what: ToGroup::Call(call), back });
            }
            Mail::GroupCast { to, cast } => {
                abroad.write(node, Letter::Group { to: abroad.name(to), what: ToGroup::Cast(cast), back: None });
            }
            Mail::ReplicaCall { to, call, back } => {
                abroad.write_call(node, to, call, back_to(&back));
            }
            Mail::ReplicaCast { to, cast } => {
                let replicas: Vec<ReplicaId> = to.iter().collect();
                self.cast_abroad(abroad, node, to.group, &replicas, &cast);
            }
            Mail::GroupFetch { to, request, back, hops } => self.fetch_abroad(node, to, None, request, back, hops),
            Mail::ReplicaFetch { to: ReplicaAddress { group, replica }, ticket, request, back, hops } => {
                self.fetch_abroad(node, group, Some((replica, ticket)), request, back, hops);
            }
            // Whoever has the object rings its alarm; all other mail is for workers, not for objects.
            _ => {}
        }
    }

    pub(super) fn cast_abroad(
        &self,
        abroad: &Abroad,
        node: NodeId,
        group: GroupAddress,
        replicas: &[ReplicaId],
        cast: &ReplicaCast,
    ) {
        abroad.write_cast(node, group, replicas, cast);
        self.queued();
    }

    fn fetch_abroad(
        &self,
        node: NodeId,
        group: GroupAddress,
        replica: Option<(ReplicaId, Ticket)>,
        request: Request,
        back: ReturnAddress,
        hops: u8,
    ) {
        let (Some(this), Some(abroad)) = (self.this.upgrade(), &self.abroad) else { return };
        let replica = replica.map(|(replica, ticket)| (*replica.as_bytes(), leaving(ticket, self.shared.now())));
        let is_group = replica.is_none();
        let head = Head { group: abroad.name(group), replica, hops: hops + 1 };
        tokio::task::spawn_local(async move {
            let fetched = peer::forward(&this, node, &head, request).await;
            let answer = fetched.map(|fetched| match fetched {
                Fetched::Response(response) if is_group => Answer::GroupFetched(response),
                fetched => Answer::ReplicaFetched(fetched),
            });
            this.answer_back(&back, answer);
        });
    }

    /// Gives an answer to whoever asked, here or at another node.
    pub(super) fn answer_to(&self, node: NodeId, worker: usize, question: u64, answer: Result<Answer, Error>) {
        let abroad = self.abroad.as_ref().filter(|abroad| node != NodeId::default() && node != abroad.joined.node());
        let Some(abroad) = abroad else { return self.send(worker, Mail::Answer { question, answer }) };
        let told = match answer {
            Ok(Answer::Group(GroupAnswer::Identified(ticket))) => {
                Ok(Told::Group(GroupAnswer::Identified(leaving(ticket, self.shared.now()))))
            }
            Ok(Answer::Group(answer)) => Ok(Told::Group(answer)),
            Ok(Answer::Replica(answer)) => Ok(Told::Replica(answer)),
            Err(error) => Err(error),
            // Requests are passed on over connections, and writes are asked for by objects here.
            Ok(Answer::GroupFetched(_) | Answer::ReplicaFetched(_) | Answer::Written) => return,
        };
        let worker = u32::try_from(worker).unwrap_or(u32::MAX);
        abroad.write(node, Letter::Answer { back: Back { node, worker, question }, answer: told });
        self.queued();
    }

    pub(super) fn answer_back(&self, back: &ReturnAddress, answer: Result<Answer, Error>) {
        self.answer_to(back.node, back.worker, back.question, answer);
    }

    /// What cannot be delivered: whoever asked hears of it.
    pub(super) fn turn_down(&self, mail: Mail, error: &Error) {
        if let Some(back) = mail.back() {
            self.answer_back(&back, Err(Error::new(error.kind(), error.to_string())));
        }
    }
}
