//! Tasks of an object: they end with its life, and a panic in one of them ends the life.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use dog::internal::{Kind, LocalFuture};
use dog::{Error, Timestamp};
use futures_util::FutureExt;
use tracing::Instrument;

use super::hibernation::note_event;
use super::life::{TaskId, drop_of_user};
use super::object_core::Living;
use crate::driver::failures::{panic_text, report_panic};
use crate::fault_injection::{Fault, is_planted};
use crate::host::{HostObserver, Occurrence, Scheduler};
use crate::reply::Reply;

/// Polls `task` at once, and spawns the rest of it if it has to wait. Most handlers never wait, and cost the runtime
/// nothing.
pub(in crate::driver) fn start<O: Living>(object: &Rc<O>, task: impl Future<Output = ()> + 'static) {
    let mut supervised = Supervised::new(object, Box::pin(task), Origin::Engine);
    let mut context = Context::from_waker(Waker::noop());
    // If it is pending, the host polls it once more, and that poll registers a real waker.
    if Pin::new(&mut supervised).poll(&mut context).is_pending() {
        spawn_supervised(supervised);
    }
}

/// Spawns `task` without polling it. Use this where the user's code runs now, because a task may call the user's code.
pub(in crate::driver) fn spawn<O: Living>(object: &Rc<O>, task: impl Future<Output = ()> + 'static) {
    let mut supervised = Supervised::new(object, Box::pin(task), Origin::Engine);
    // It counts as waiting: the host must not take the object for idle before the task has begun.
    supervised.note_wait();
    spawn_supervised(supervised);
}

/// Spawns a task of the user's code, without polling it. It keeps the object in memory, and may last as long as its life.
///
/// # Errors
/// If the object has too many tasks already.
pub(in crate::driver) fn spawn_of_user<O: Living>(object: &Rc<O>, task: LocalFuture<()>) -> Result<(), Error> {
    object.core().tasks().begin()?;
    object.core().host().occurred(Occurrence::TaskBegins);
    spawn_supervised(Supervised::new(object, task, Origin::User));
    Ok(())
}

fn spawn_supervised<O: Living>(supervised: Supervised<O>) {
    let host = Rc::clone(supervised.object.core().host());
    let span = tracing::Span::current();
    if span.is_none() {
        host.spawn(Box::pin(supervised));
    } else {
        host.spawn(Box::pin(supervised.instrument(span)));
    }
}

/// Sends the outcome of `work` to the caller. If `work` panics, the caller gets an error, and the panic continues.
pub(in crate::driver) async fn answer<T>(reply: Reply<T>, work: impl Future<Output = Result<T, Error>>) {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => reply.send(outcome),
        Err(panic) => {
            reply.send(Err(Error::new(Kind::Handler, "the handler panicked")));
            resume_unwind(panic);
        }
    }
}

/// Who has spawned a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The engine, to run a handler or work of its own. The host counts how long it waits.
    Engine,
    /// The user's code. It may last as long as the life.
    User,
}

struct Supervised<O: Living> {
    object: Rc<O>,
    /// `None` once it has ended.
    task: Option<LocalFuture<()>>,
    id: TaskId,
    origin: Origin,
    /// When it first had to wait.
    waits_since: Option<Timestamp>,
}

impl<O: Living> Supervised<O> {
    fn new(object: &Rc<O>, task: LocalFuture<()>, origin: Origin) -> Self {
        let id = object.core().life().begin_task();
        Self { object: Rc::clone(object), task: Some(task), id, origin, waits_since: None }
    }

    fn note_wait(&mut self) {
        if self.waits_since.is_none() && self.origin == Origin::Engine {
            let host = self.object.core().host();
            self.waits_since = Some(host.now());
            host.occurred(Occurrence::Waits);
        }
    }

    /// A fault that the simulation must find.
    fn outlives_life(&self) -> bool {
        self.origin == Origin::User && is_planted(Fault::TasksOutliveLives)
    }

    /// Drops the task before anyone checks whether the object is idle.
    fn finish(&mut self) {
        if let Some(task) = self.task.take() {
            drop_of_user(task);
            let core = self.object.core();
            core.life().end_task(self.id);
            if self.origin == Origin::User {
                core.tasks().end();
                core.host().occurred(Occurrence::TaskEnded);
            }
            if let Some(since) = self.waits_since {
                let host = core.host();
                host.occurred(Occurrence::Waited(host.now().since(since)));
            }
        }
    }
}

impl<O: Living> Future for Supervised<O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.object.core().life().has_ended() && !self.outlives_life() {
            return Poll::Ready(());
        }
        let this = &mut *self;
        let (host, life) = (this.object.core().host(), this.object.core().life());
        let Some(task) = &mut this.task else { return Poll::Ready(()) };
        let before = host.runs(Some(life.epoch()));
        let outcome = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context)));
        host.runs(before);
        if let Ok(Poll::Pending) = outcome {
            life.register(this.id, context.waker());
            this.note_wait();
            return Poll::Pending;
        }
        self.finish();
        match outcome {
            Err(panic) => {
                let core = self.object.core();
                report_panic(&**core.host(), Some(core.object()), &panic_text(&*panic));
                self.object.end();
            }
            Ok(_) => note_event(&self.object),
        }
        Poll::Ready(())
    }
}

impl<O: Living> Drop for Supervised<O> {
    fn drop(&mut self) {
        self.finish();
    }
}
