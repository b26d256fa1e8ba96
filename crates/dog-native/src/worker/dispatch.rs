//! How a worker handles each piece of mail.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dog::http::StatusCode;
use dog::internal::Kind;
use dog::{Error, Request, Response, Timestamp};
use dog_engine::address::{Object, Targets};
use dog_engine::app_port;
use dog_engine::host::{GroupObject, ReplicaObject};
use dog_engine::message::ReplicaCast;
use dog_engine::reply::Reply;
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::cluster_router::ClusterRouter;
use super::core::Worker;
use super::fence::fence_if_needed;
use super::spans;
use crate::cluster::ports::Owner;
use crate::mail::{Answer, Attach, Job, Mail, ReturnAddress, RoutingMail, StopMode};
use crate::repeats::seldom;

/// Handles a piece of mail, or forwards it to where its object lives.
pub(super) fn dispatch(worker: &Rc<Worker>, mail: Mail) {
    if let Mail::ReplicaCalls(calls) = mail {
        return calls.into_each().for_each(|mail| dispatch(worker, mail));
    }
    if let Some(cluster) = worker.router.cluster()
        && let Some(object) = mail.object()
        && !cluster.has_claim(object)
    {
        return cluster.forward_mail(object, mail);
    }
    if worker.objects.begins_with(&mail)
        && let Err(error) = may_begin(worker, &mail)
    {
        return worker.router.reject(mail, &error);
    }
    match mail {
        Mail::GroupCall { to, call, back } => {
            let _within = spans::group(&back.span, to, "call").entered();
            worker.group(to).call(call, reply(worker, &back, Answer::Group));
        }
        Mail::GroupCast { to, cast } => worker.group(to).cast(cast),
        Mail::GroupFetch { to, request, back, .. } => {
            let _within = spans::group(&back.span, to, "fetch").entered();
            worker.group(to).fetch(request, reply(worker, &back, Answer::GroupFetched));
        }
        Mail::ReplicaCall { to, call, back } => {
            let _within = spans::replica(&back.span, to, "call").entered();
            worker.replica(to).call(call, reply(worker, &back, Answer::Replica));
        }
        Mail::ReplicaCast { to, cast } => cast_to_living(worker, &to, &cast),
        Mail::ReplicaFetch { to, ticket, request, back, .. } => {
            let _within = spans::replica(&back.span, to, "fetch").entered();
            worker.replica(to).fetch(ticket, request, reply(worker, &back, Answer::ReplicaFetched));
        }
        Mail::Released { to, epoch, seat } => {
            if let Some(replica) = worker.objects.living_replica(to).filter(|replica| replica.epoch() == epoch) {
                replica.released(seat);
            }
        }
        mail => dispatch_to_worker(worker, mail),
    }
}

/// Whether one more object may be activated for a piece of mail.
fn may_begin(worker: &Worker, mail: &Mail) -> Result<(), Error> {
    if worker.objects.are_at_their_limit() {
        worker.counters().objects_refused.one();
        return Err(Error::new(Kind::NoRoom, "the server is at its limit of objects: try again later"));
    }
    if !worker.shared().limits().allows_group(mail.asking(), || worker.shared().uptime()) {
        worker.counters().groups_too_many.one();
        let status = StatusCode::TOO_MANY_REQUESTS.as_u16();
        return Err(Error::new(Kind::Refused(status), "too many new rooms for one address: try again later"));
    }
    Ok(())
}

/// Handles mail for the worker itself.
fn dispatch_to_worker(worker: &Rc<Worker>, mail: Mail) {
    match mail {
        Mail::Answer { call, answer } => {
            if let Some(cluster) = worker.router.cluster() {
                cluster.answered(call);
            }
            worker.calls.answer(call, answer);
        }
        Mail::Written { object, call, outcome } => {
            worker.writes.done(object);
            worker.calls.answer(call, outcome.map(|()| Answer::Written));
        }
        Mail::AlarmRefused { object, at } => restore_alarm(worker, object, at),
        Mail::Attach(attach) => attach_connection(worker, *attach),
        Mail::TurnAway(refused) => worker.sockets.turn_away(*refused),
        Mail::Abandoned { socket } => worker.sockets.lose(socket),
        Mail::Outside { request, reply, span } => answer_outside(worker, request, reply, &span),
        Mail::Job { job, span, .. } => do_job(worker, job, &span),
        Mail::Stop(mode) => stop(worker, mode),
        Mail::Figures(reply) => {
            // The receiver may have given up.
            let _ = reply.send(worker.snapshot());
        }
        Mail::Routing(mail) => {
            if let Some(cluster) = worker.router.cluster() {
                dispatch_routing(worker, cluster, mail);
            }
        }
        Mail::HasRoom { worker: other } => {
            worker.outbound.has_room(other);
            worker.sockets.let_go_on();
        }
        Mail::StreamCaughtUp => worker.sockets.streams_caught_up(),
        Mail::Lags { group, worker: other, lags } => worker.sockets.lags_elsewhere(group, other, lags),
        // `Wake`: the claim has brought the object here, and its alarm was set then. `CheckDrain`: the loop checks the
        // shutdown after every turn.
        _ => {}
    }
}

fn dispatch_routing(worker: &Rc<Worker>, cluster: &ClusterRouter, mail: RoutingMail) {
    match mail {
        RoutingMail::Locate { object, claim, worker } => cluster.locate(object, claim, worker),
        RoutingMail::Located { object, owner } => cluster.located(object, owner),
        RoutingMail::Found { object, node, owner, alarm } => {
            // The objects of an earlier lease must end before a new lease claims any.
            fence_if_needed(worker);
            if let Ok(Owner::Here(_)) = owner {
                worker.alarms.borrow_mut().set(object, alarm);
            }
            cluster.found(object, node, owner);
        }
        RoutingMail::Moved { object, node } => cluster.moved(object, node),
        RoutingMail::NodeGone { node } => {
            for call in cluster.node_gone(node) {
                let error = Error::new(Kind::Unreachable, "the node of the object has ended");
                worker.calls.answer(call, Err(error));
            }
            worker.objects.groups().into_iter().for_each(|group| group.node_gone(node));
        }
        RoutingMail::LeaseLost => fence_if_needed(worker),
        // If the object lives here, this worker knows its alarm before the storage does.
        RoutingMail::AlarmSeen { object, at } => {
            if !cluster.has_claim(object) {
                worker.alarms.borrow_mut().set(object, at);
                worker.turn.queued();
            }
        }
    }
}

/// Gives a socket its connection. If all other sockets were closed already, it is closed at once.
fn attach_connection(worker: &Worker, attach: Attach) {
    let socket = attach.socket;
    worker.sockets.attach(attach);
    if worker.shutdown.closes_everything() {
        worker.sockets.send_away(socket);
    }
}

/// Lets the App answer a request that another server, or another thread, has accepted.
fn answer_outside(worker: &Rc<Worker>, request: Request, reply: oneshot::Sender<Response>, span: &Span) {
    let (worker, busy) = (Rc::clone(worker), worker.shutdown.hold());
    let span = span.in_scope(|| worker.requests().span(&request));
    let answer = async move {
        // The receiver may be gone.
        let _ = reply.send(worker.answer(request).await);
        drop(busy);
    };
    tokio::task::spawn_local(answer.instrument(span));
}

/// Does what a handle asks for, as the App would. The shutdown waits for it.
fn do_job(worker: &Rc<Worker>, job: Job, span: &Span) {
    let (done, busy) = (job(app_port(Rc::clone(worker))), worker.shutdown.hold());
    let done = async move {
        done.await;
        drop(busy);
    };
    tokio::task::spawn_local(done.instrument(span.clone()));
}

/// Returns a reply that sends the object's answer to the caller.
fn reply<T: 'static>(worker: &Rc<Worker>, back: &ReturnAddress, wrap: fn(T) -> Answer) -> Reply<T> {
    let (worker, node, to, call) = (Rc::clone(worker), back.node, back.worker, back.call);
    Reply::new(move |answer: Result<T, Error>| {
        worker.router.answer(node, to, call, answer.map(wrap));
    })
}

/// Casts to those of the Replicas that belong to this worker and are alive. The others have no sockets.
fn cast_to_living(worker: &Worker, to: &Targets, cast: &ReplicaCast) {
    for replica in to.iter() {
        let address = to.address(replica);
        let object = Object::Replica(address);
        if worker.outbound.home(object) != worker.index() {
            continue;
        }
        if let Some(living) = worker.objects.living_replica(address) {
            living.cast(cast.clone());
        } else if let Some(cluster) = worker.router.cluster().filter(|cluster| !cluster.has_claim(object)) {
            let to = Targets { group: to.group, replicas: Arc::new([replica]), except: None };
            cluster.forward_mail(object, Mail::ReplicaCast { to, cast: cast.clone() });
        }
    }
}

/// Begins the shutdown: no new connections and no new requests. Open sockets are closed in batches.
fn stop(worker: &Worker, mode: StopMode) {
    if worker.shutdown.begin(|| worker.sockets.ids(), mode) {
        // Streams and background tasks of objects end.
        worker.objects.groups().into_iter().for_each(GroupObject::stopping);
        worker.objects.replicas().into_iter().for_each(ReplicaObject::stopping);
    }
}

/// How long an object is not woken after its alarms could not be stored. A disk that stays full would keep it busy.
const WAKE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Restores the time of an object's earliest alarm after another time could not be stored. That one was already set in
/// memory, and may have come since. If it was set again in the meantime, nothing changes.
fn restore_alarm(worker: &Worker, object: Object, refused: Option<Timestamp>) {
    let is_refused = move |worker: &Worker| worker.alarms.borrow().of(object).is_none_or(|at| Some(at) == refused);
    if !is_refused(worker) {
        return;
    }
    let Some(worker) = worker.this() else { return };
    let read = worker.shared().storage.alarm(object);
    tokio::task::spawn_local(async move {
        match read.await {
            Ok(stored) if is_refused(&worker) => {
                let soonest = worker.shared().now() + WAKE_AGAIN_AFTER;
                worker.alarms.borrow_mut().set(object, stored.map(|at| at.max(soonest)));
                worker.turn.queued();
            }
            Ok(_) => {}
            Err(error) => {
                let kind = "an alarm that cannot be restored";
                seldom!(error, kind, "an alarm that was not stored cannot be restored either: {error}");
            }
        }
    });
}
