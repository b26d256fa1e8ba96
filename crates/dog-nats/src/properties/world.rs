//! A run: some processes over two simulated streams, with faults from a seed.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::log::Outcome;
use super::process::Process;
use super::setting::{Mishap, Profile, Run, names, objects};
use crate::alarms::AlarmRecord;
use crate::stream::fake::{FakeStream, Weather};

/// The number of processes that run at any time.
const PROCESSES: usize = 3;
/// How long there are faults.
const STORM: Duration = Duration::from_secs(20);
/// How long there are no faults afterwards. In this time the cluster must recover.
const CALM: Duration = Duration::from_secs(15);

/// Runs one seed on virtual time.
pub(super) fn run(profile: &Profile, seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(run_on_virtual_time(profile, seed))
}

fn any_weather(random: &mut fastrand::Rng) -> Weather {
    let mut up_to = |most: f64| if random.bool() { most * random.f64() } else { 0.0 };
    Weather { lost: up_to(0.2), late: up_to(0.3), doubled: up_to(0.2), slow: up_to(0.2), broken: up_to(0.05) }
}

async fn run_on_virtual_time(profile: &Profile, seed: u64) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let weather = profile.weather.unwrap_or_else(|| any_weather(&mut random));
    let stream = |random: &mut fastrand::Rng| Arc::new(FakeStream::new(random.u64(..), weather));
    let run = Run::new(stream(&mut random), stream(&mut random));
    let start = |random: &mut fastrand::Rng| Process::start(&run, profile, random.u64(..));
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| start(&mut random)).collect();
    while run.began().elapsed() < STORM {
        sleep(Duration::from_millis(random.u64(200..3_000))).await;
        let process = random.usize(0..PROCESSES);
        match profile.mishaps[random.usize(0..profile.mishaps.len())] {
            Mishap::Suspend => processes[process].suspend(random.u8(..) < 100),
            Mishap::CutOff => processes[process].cut_off(random.u8(..) < 100),
            Mishap::Kill if random.u8(..) < 60 => processes[process] = start(&mut random),
            Mishap::Kill => {}
            Mishap::ChangeLeader => {
                let stream = if random.bool() { run.leases() } else { run.objects() };
                stream.change_leader(Duration::from_millis(random.u64(300..6_000)));
            }
        }
    }
    for process in &processes {
        process.suspend(false);
        process.cut_off(false);
    }
    run.leases().calm_down();
    run.objects().calm_down();
    sleep(CALM).await;
    outcome(&run, profile, &processes)
}

fn outcome(run: &Run, profile: &Profile, processes: &[Process]) -> Outcome {
    let history = run.objects().history();
    let alarms = objects(profile.objects).into_iter().filter_map(|object| {
        let last = history.iter().rfind(|commit| commit.subject == names().alarm(object))?;
        Some((object, AlarmRecord::decode(last.payload.as_ref()?).expect("an alarm").at().as_millis()))
    });
    let caretakers = objects(profile.objects).into_iter();
    Outcome {
        began: run.began(),
        leases: run.leases().history(),
        alarms: alarms.collect(),
        objects: history,
        log: std::mem::take(&mut *run.log().lock().unwrap_or_else(PoisonError::into_inner)),
        caretakers: caretakers
            .map(|object| (object, processes.iter().map(|process| process.caretaker(object)).collect()))
            .collect(),
        live: processes.iter().filter_map(Process::node).collect(),
        // An alarm that has just become due may not have rung yet.
        ended: u64::try_from(run.began().elapsed().as_millis()).expect("a short run") - 2_000,
    }
}
