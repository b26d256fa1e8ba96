//! What a [`Room`] does with tasks and timers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use dog::{Context, Result};

use super::class::TestClass;
use super::protocol::{TaskAct, Told, Why, ticked, waiting};
use super::room::Room;

thread_local! {
    // All lives of an object run on one thread of one process.
    static TICKS: RefCell<HashMap<String, u64>> = RefCell::default();
}

impl<C: TestClass> Room<C> {
    /// Executes a command about tasks and timers.
    pub(super) async fn on_task(&self, cx: &Context<Self>, act: TaskAct) -> Result<Told, dog::Error> {
        match act {
            TaskAct::Tick { name, millis } => cx.spawn(tick(cx.clone(), name, millis)).map(|_| Told::Done),
            TaskAct::Ticks { name } => Ok(Told::Number { value: ticks(&name) }),
            TaskAct::Wait { gate } => {
                let (cx, gates) = (cx.clone(), Rc::clone(&self.gates));
                cx.clone().spawn(async move {
                    // The Replica may have no sockets.
                    let _ = cx.emit(waiting(&gate));
                    gates.pass(&gate).await;
                })?;
                Ok(Told::Done)
            }
            TaskAct::Panic { text } => {
                let sleep = cx.sleep(Duration::from_millis(1));
                cx.spawn(async move {
                    sleep.await;
                    panic!("{text}");
                })?;
                Ok(Told::Done)
            }
            TaskAct::Skip { period, pause } => Ok(skip(cx, period, pause).await),
            TaskAct::Timeout { gate, millis } => {
                cx.emit(waiting(&gate))?;
                cx.timeout(Duration::from_millis(millis), self.gates.pass(&gate)).await.map(|()| Told::Done)
            }
            TaskAct::Fill => Ok(fill(cx).await),
            TaskAct::Return { value } => {
                let task = cx.spawn(async move { value })?;
                Ok(Told::Number { value: task.await? })
            }
        }
    }
}

fn ticks(name: &str) -> u64 {
    TICKS.with_borrow(|ticks| ticks.get(name).copied().unwrap_or(0))
}

/// Goes on even if nobody can hear it any more: only the end of the life ends it.
async fn tick<C: TestClass>(cx: Context<Room<C>>, name: String, millis: u64) {
    let mut interval = cx.interval(Duration::from_millis(millis));
    loop {
        interval.tick().await;
        TICKS.with_borrow_mut(|ticks| *ticks.entry(name.clone()).or_default() += 1);
        let _ = cx.emit(ticked(&name));
    }
}

async fn skip<C: TestClass>(cx: &Context<Room<C>>, period: u64, pause: u64) -> Told {
    let (start, mut interval) = (cx.now(), cx.interval(Duration::from_millis(period)));
    interval.tick().await;
    cx.sleep(Duration::from_millis(pause)).await;
    let ticks = [interval.tick().await, interval.tick().await];
    Told::Skipped { ticks, millis: cx.now().as_millis() - start.as_millis() }
}

async fn fill<C: TestClass>(cx: &Context<Room<C>>) -> Told {
    let mut tasks = Vec::new();
    let refused = loop {
        match cx.spawn(std::future::pending::<()>()) {
            Ok(task) => tasks.push(task),
            Err(error) => break error,
        }
    };
    let (count, mut aborted) = (tasks.len() as u64, 0);
    for task in tasks {
        task.abort();
        aborted += u64::from(task.await.is_err_and(|error| error.is_closed()));
    }
    Told::Filled { tasks: count, why: Why::from(&refused), aborted }
}
