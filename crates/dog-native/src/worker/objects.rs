//! Which objects live here, and how mail reaches them.

use std::rc::Rc;
use std::sync::Arc;

use dog::internal::Kind;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress, Targets};
use dog_engine::host::{GroupObject, ReplicaObject};
use dog_engine::message::{GroupCall, ReplicaCall, ReplicaCast};
use dog_engine::reply::Reply;

use tracing::Instrument;

use super::mail::{Answer, Attach, Mail, ReturnAddress};
use super::{Class, Worker, spans};
use crate::repeats::seldom;
use crate::storage::SetAlarm;

impl Worker {
    fn class_at(&self, class: ClassIndex) -> &Class<Self> {
        // An index was looked up in this same list when the address was made.
        &self.classes[usize::from(class.0)]
    }

    fn new_life(&self, object: Object) -> Epoch {
        // In a cluster nothing begins here that this node does not have: a number of no claim could write nothing.
        let claimed = self.abroad.as_ref().and_then(|abroad| abroad.next_life(object));
        let epoch = claimed.unwrap_or_else(|| self.shared.new_epoch());
        self.watched().begun(epoch, object);
        epoch
    }

    /// The Group, begun if it is not alive.
    fn group(self: &Rc<Self>, address: GroupAddress) -> Rc<dyn GroupObject> {
        let begin = || {
            let epoch = self.new_life(Object::Group(address));
            let group = (self.class_at(address.class).group)(Rc::clone(self), address, epoch);
            if self.is_stopping() {
                Rc::clone(&group).stopping();
            }
            group
        };
        Rc::clone(self.groups.borrow_mut().entry(address).or_insert_with(begin))
    }

    /// The Replica, begun if it is not alive.
    fn replica(self: &Rc<Self>, address: ReplicaAddress) -> Rc<dyn ReplicaObject> {
        let begin = || {
            let epoch = self.new_life(Object::Replica(address));
            let replica = (self.class_at(address.group.class).replica)(Rc::clone(self), address, epoch);
            if self.is_stopping() {
                Rc::clone(&replica).stopping();
            }
            replica
        };
        Rc::clone(self.replicas.borrow_mut().entry(address).or_insert_with(begin))
    }

    /// The Replica, if it is alive.
    pub(super) fn living(&self, address: ReplicaAddress) -> Option<Rc<dyn ReplicaObject>> {
        self.replicas.borrow().get(&address).cloned()
    }

    /// Owes the answer to whoever asked.
    fn reply<T: 'static>(self: &Rc<Self>, back: &ReturnAddress, wrap: fn(T) -> Answer) -> Reply<T> {
        let (this, node, worker, question) = (Rc::clone(self), back.node, back.worker, back.question);
        Reply::new(move |answer: Result<T, Error>| {
            this.answer_to(node, worker, question, answer.map(wrap));
        })
    }

    /// Does what a piece of mail says, or passes it on to where its object lives.
    pub(super) fn open_mail(self: &Rc<Self>, mail: Mail) {
        if self.abroad.is_some()
            && let Some(object) = mail.object()
            && !self.is_here(object)
        {
            return self.pass_on(object, mail);
        }
        if self.is_one_too_many(&mail) {
            self.counters.objects_refused.one();
            return self
                .turn_down(mail, &Error::new(Kind::NoRoom, "the server has as many rooms as it may: try again later"));
        }
        match mail {
            Mail::GroupCall { to, call, back } => {
                let _within = spans::group(&back.span, to, "call").entered();
                self.group(to).call(call, self.reply(&back, Answer::Group));
            }
            Mail::GroupCast { to, cast } => self.group(to).cast(cast),
            Mail::GroupFetch { to, request, back, .. } => {
                let _within = spans::group(&back.span, to, "fetch").entered();
                self.group(to).fetch(request, self.reply(&back, Answer::GroupFetched));
            }
            Mail::ReplicaCall { to, call, back } => {
                let _within = spans::replica(&back.span, to, "call").entered();
                self.replica(to).call(call, self.reply(&back, Answer::Replica));
            }
            Mail::ReplicaCast { to, cast } => self.cast(&to, &cast),
            Mail::ReplicaFetch { to, ticket, request, back, .. } => {
                let _within = spans::replica(&back.span, to, "fetch").entered();
                self.replica(to).fetch(ticket, request, self.reply(&back, Answer::ReplicaFetched));
            }
            Mail::Answer { question, answer } => self.answered(question, answer),
            Mail::Written { object, question, outcome } => {
                self.settling.settles(object);
                self.answered(question, outcome.map(|()| Answer::Written));
            }
            Mail::AlarmRefused { object, at } => self.take_back_alarm(object, at),
            Mail::Attach(attach) => self.attach(*attach),
            Mail::Abandoned { socket } => self.connections.borrow_mut().lose(socket),
            Mail::Released { to, epoch, seat } => {
                if let Some(replica) = self.living(to).filter(|replica| replica.epoch() == epoch) {
                    replica.released(seat);
                }
            }
            Mail::Outside { request, reply, span } => {
                let worker = Rc::clone(self);
                let busy = self.busy();
                let span = span.in_scope(|| worker.request_span(&request));
                let answer = async move {
                    // Whoever asked may have gone.
                    let _ = reply.send(worker.answer(request).await);
                    drop(busy);
                };
                tokio::task::spawn_local(answer.instrument(span));
            }
            Mail::Stop { at_once } => self.begin_stop(at_once),
            Mail::Figures(reply) => {
                // Whoever asked may have given up.
                let _ = reply.send(self.figures());
            }
            // It is here, and its alarm with it.
            Mail::Drained | Mail::Wake { .. } => {}
            Mail::Where { object, claim, worker } => self.tell_where(object, claim, worker),
            Mail::Placed { object, owner } => self.placed(object, owner),
            Mail::Corrected { object, node } => self.corrected(object, node),
            Mail::Gone { node } => self.gone(node),
            Mail::Eased { worker } => self.has_room(worker),
            Mail::Lags { group, worker, lags } => self.lags_elsewhere(group, worker, lags),
            Mail::Fenced => self.mind_lease(),
            Mail::AlarmSeen { object, at } => self.alarm_seen(object, at),
        }
    }

    /// Whether it is for a new object, which nothing that is here already depends on, and there are enough.
    fn is_one_too_many(&self, mail: &Mail) -> bool {
        let is_new = match mail {
            Mail::GroupCall { to, call: GroupCall::Identify { .. }, .. } | Mail::GroupFetch { to, .. } => {
                !self.groups.borrow().contains_key(to)
            }
            Mail::ReplicaCall { to, call: ReplicaCall::Join(_), .. } => self.living(*to).is_none(),
            _ => false,
        };
        let most = self.shared.config.max_objects.div_ceil(self.shared.post.workers());
        is_new && self.groups.borrow().len() + self.replicas.borrow().len() >= most
    }

    /// Wakes whoever's alarm is due.
    pub(super) fn ring(self: &Rc<Self>) {
        while !self.has_lasted(1) {
            let due = self.alarms.borrow_mut().take_due(self.shared.now());
            if let Some((object, _)) = due.filter(|(object, _)| !self.is_here(*object)) {
                self.ring_elsewhere(object);
                continue;
            }
            self.counters.alarms.add(usize::from(due.is_some()));
            match due {
                Some((Object::Group(address), attempt)) => self.group(address).alarm(attempt),
                Some((Object::Replica(address), attempt)) => self.replica(address).alarm(attempt),
                None => return,
            }
        }
    }

    /// Takes those alarms, set before this process began, whose objects live here.
    pub(crate) fn set_alarms(&self, alarms: &[SetAlarm]) {
        for SetAlarm { at, class, object } in alarms {
            if self.shared.post.worker_of(object.id()) != self.index {
                continue;
            }
            match self.classes.iter().position(|known| known.name == class).map(u16::try_from) {
                Some(Ok(index)) => self.alarms.borrow_mut().set(object.of_class(ClassIndex(index)), Some(*at)),
                _ => seldom!(
                    warn,
                    "an alarm set for a Group that App::Groups does not name",
                    class,
                    "an alarm is set for a Group that App::Groups does not name: it stays set"
                ),
            }
        }
    }

    /// An alarm is in memory before it is on disk, and was not kept there: what is on disk counts, unless it was set anew.
    fn take_back_alarm(&self, object: Object, refused: Option<Timestamp>) {
        if self.alarms.borrow().of(object) != refused {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        let read = self.shared.storage.alarm(object);
        tokio::task::spawn_local(async move {
            match read.await {
                Ok(kept) if this.alarms.borrow().of(object) == refused => {
                    this.alarms.borrow_mut().set(object, kept);
                    this.queued();
                }
                Ok(_) => {}
                Err(error) => {
                    let kind = "an alarm that cannot be taken back";
                    seldom!(error, kind, "an alarm that was not kept cannot be taken back either: {error}");
                }
            }
        });
    }

    /// To those of the Replicas that live here and are alive; the others have no sockets.
    fn cast(&self, to: &Targets, cast: &ReplicaCast) {
        for replica in to.iter() {
            if self.shared.post.worker_of(replica.as_bytes()) != self.index {
                continue;
            }
            let address = to.address(replica);
            if let Some(object) = self.living(address) {
                object.cast(cast.clone());
            } else if !self.is_here(Object::Replica(address)) {
                let to = Targets { group: to.group, replicas: Arc::new([replica]), except: None };
                self.pass_on(Object::Replica(address), Mail::ReplicaCast { to, cast: cast.clone() });
            }
        }
    }

    /// Gives a socket its connection, whose handshake was answered elsewhere.
    fn attach(&self, attach: Attach) {
        let Attach { socket, stream, unread, lane, permit } = attach;
        if let Err(error) = self.connections.borrow_mut().attach(socket, stream, &unread, lane, permit) {
            seldom!(error, "a connection could not be taken over", "a connection could not be taken over: {error}");
        }
        self.close_if_late(socket);
        // What came along with the handshake is there already: no event will tell of it.
        self.read_again(socket);
    }
}

/// Objects hold their host by a strong count, and the host its objects: cut when the worker ends.
impl Worker {
    pub(super) fn let_go(self: &Rc<Self>) {
        let replicas = std::mem::take(&mut *self.replicas.borrow_mut());
        let groups = std::mem::take(&mut *self.groups.borrow_mut());
        let answering = self.answering.take();
        drop((replicas, groups, answering));
    }
}
