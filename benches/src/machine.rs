//! The machine: what it is, how busy it is, and which of its processors and how many files are ours to use.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit};
use rustix::thread::CpuSet;

/// The load average of the last minute: how many processes wanted a processor.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").into()
}

/// The machine in one line, before a run begins.
pub fn summary(pinned: bool) -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t").count();
    let pinned = if pinned { "pinned" } else { "not pinned" };
    format!("{processors} processors, {pinned}, load average {} before", load_average())
}

/// The name of its processors.
pub fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// The version of its kernel.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Pins this thread to the last processor it may use, and gives the others: servers are pinned to those.
///
/// # Errors
/// When there is only one.
pub fn reserve_last_processor() -> Result<Vec<usize>> {
    let all = rustix::thread::sched_getaffinity(None)?;
    let mut processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|processor| all.is_set(*processor)).collect();
    let last = processors.pop().filter(|_| !processors.is_empty());
    pin_to(&[last.context("--pin: there is only one processor")?])?;
    Ok(processors)
}

/// Pins this thread, and the processes it starts, to some processors.
///
/// # Errors
/// When the machine does not have them.
pub fn pin_to(processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        ensure!(*processor < CpuSet::MAX_CPU, "there is no processor {processor}");
        set.set(*processor);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Lets this process, and those that it starts, open as many files as the system allows.
///
/// # Errors
/// When the system allows fewer than `needed`.
pub fn raise_file_limit(needed: usize) -> Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    let enough = limit.maximum.is_none_or(|maximum| maximum >= needed as u64);
    ensure!(enough, "{needed} open files are needed, and the system allows {:?}", limit.maximum);
    Ok(())
}
