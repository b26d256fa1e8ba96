//! A full disk: clients are told that their writes failed, and no acknowledged write is lost.

use std::process::Command;

use futures_util::future::join_all;

use crate::child::{Child, NoStart, Random};
use crate::ledger;
use crate::ledger::clients::{Model, Tally, Writer, connect_all};

/// A small tmpfs, which is unmounted when the value is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts one, or returns `None` if this user may not mount.
    fn mount(megabytes: u32) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.command("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).then_some(disk)
    }

    fn resize(&self, megabytes: u32) {
        assert!(self.command("mount", &["-o", &format!("remount,size={megabytes}m")]));
    }

    fn command(&self, program: &str, arguments: &[&str]) -> bool {
        let output = Command::new(program).args(arguments).arg(self.0.path()).output();
        output.is_ok_and(|output| output.status.success())
    }

    fn settings(&self) -> ledger::Settings<'_> {
        ledger::settings(self.0.path())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.command("umount", &["-l"]);
    }
}

/// Returns the storage errors that all writers received.
fn refusals(writers: &[Writer]) -> Vec<&str> {
    writers.iter().flat_map(|writer| &writer.refused).map(String::as_str).collect()
}

async fn write_all(writers: &mut [Writer], random: &mut Random, from: u64, most: usize) {
    let tally = Tally::until(u64::MAX);
    let seeds: Vec<Random> = writers.iter().map(|_| random.fork()).collect();
    join_all(writers.iter_mut().zip(seeds).map(|(writer, random)| writer.write(random, from, most, &tally))).await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_costs_nothing_that_was_acknowledged() {
    let mut random = Random::new("full disk");
    for in_good_order in [true, false] {
        let Some(disk) = Disk::mount(4) else {
            println!("\n*** NOT RUN: full disk: this user may not mount a tmpfs: run it as root ***\n");
            return;
        };
        let mut model = Model::default();
        let child = Child::start(&disk.settings()).expect("the disk has space at first");
        let mut writers = connect_all(child.address, 3, 2).await;
        model.check(&mut writers).await.unwrap();
        write_all(&mut writers, &mut random, 1_000_000, 80).await;
        model.learn(&writers);
        let refused = refusals(&writers);
        assert!(!refused.is_empty(), "no write failed on a disk of 4 MiB");
        for refusal in &refused {
            assert!(refusal.contains("storage failed") && !refusal.contains('\n'), "{refusal}");
        }
        assert!(refused.iter().any(|refusal| refusal.contains("space")), "{refused:?}");
        let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
        println!("full disk: {acknowledged} acknowledged, {} refused: {}", refused.len(), refused[0]);
        // The server can still read what it has.
        model.check(&mut writers).await.unwrap_or_else(|wrong| panic!("with the disk full: {wrong:#?}"));
        let errors = if in_good_order { child.end() } else { child.kill() };
        assert_eq!(errors, "");

        match Child::start(&disk.settings()) {
            Ok(child) => {
                let mut writers = connect_all(child.address, 3, 2).await;
                model.check(&mut writers).await.unwrap_or_else(|wrong| panic!("still without space: {wrong:#?}"));
                child.kill();
            }
            Err(NoStart { refusal, errors }) => {
                let refusal = refusal.unwrap_or_else(|| panic!("the server ended without a reason: {errors}"));
                println!("full disk: no start without room: {refusal}");
            }
        }

        disk.resize(64);
        let child = Child::start(&disk.settings()).expect("the disk has space again");
        let mut writers = connect_all(child.address, 3, 2).await;
        let found = model.check(&mut writers).await.unwrap_or_else(|wrong| panic!("with space again: {wrong:#?}"));
        assert!(found > 0);
        write_all(&mut writers, &mut random, 2_000_000, 20).await;
        assert_eq!(refusals(&writers), Vec::<&str>::new(), "writes succeed again");
        model.learn(&writers);
        child.kill();
        let child = Child::start(&disk.settings()).unwrap();
        let mut writers = connect_all(child.address, 3, 2).await;
        model.check(&mut writers).await.unwrap_or_else(|wrong| panic!("after writes succeeded again: {wrong:#?}"));
        assert_eq!(child.end(), "");
    }
}
