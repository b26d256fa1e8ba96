//! A data folder whose files were cut short or changed while no server ran on it. A server on it has all that was
//! acknowledged, or refuses to start in one line, or tells whoever reads what is damaged; it never goes on without.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{Child, NoStart, Random, setting};
use crate::ledger;
use crate::ledger::clients::{Look, Model, Tally, connect_all};

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// One bit is another, where there is data.
    Flipped,
    /// 512 bytes are zero, some of them where there was data.
    Zeroed,
    /// It ends early, within its data.
    Cut,
    /// It is empty.
    Emptied,
    /// It is not there.
    Removed,
}

const ALL: [Damage; 5] = [Damage::Flipped, Damage::Zeroed, Damage::Cut, Damage::Emptied, Damage::Removed];

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It starts, and all is there.
    Whole,
    /// It refuses to start, in one line.
    Refused,
    /// It starts, and a read of what is damaged fails.
    ToldByRead,
    /// It starts, and something is not there.
    Lost,
    /// It dies, or says nothing, or says a lot.
    Wild,
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// In memory where there is a place for that: hundreds of megabytes are copied again and again.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-r", "--sparse=always"]).arg(from.join(".")).arg(to).status();
    assert!(copied.unwrap().success());
}

/// `None` where there is nothing that could be damaged so.
fn damage(path: &Path, damage: Damage, random: &mut Random) -> Option<()> {
    let bytes = fs::read(path).unwrap();
    // Files are made larger than what is in them.
    let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let at = random.below(used as u64);
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    match damage {
        Damage::Flipped => {
            let byte = bytes[usize::try_from(at).unwrap()] ^ 1 << random.below(8);
            file.write_all_at(&[byte], at).unwrap();
        }
        Damage::Zeroed => {
            let end = (usize::try_from(at).unwrap() + 512).min(used);
            let place = &bytes[usize::try_from(at).unwrap()..end];
            place.iter().any(|byte| *byte != 0).then_some(())?;
            file.write_all_at(&vec![0; place.len()], at).unwrap();
        }
        Damage::Cut => file.set_len(at).unwrap(),
        Damage::Emptied => file.set_len(0).unwrap(),
        Damage::Removed => fs::remove_file(path).unwrap(),
    }
    Some(())
}

/// A folder that a killed server has left, and what must be in it. `large` values make the database write tables.
async fn filled(folder: &Path, random: &mut Random, large: bool) -> Model {
    let mut model = Model::default();
    let child = Child::start(&ledger::settings(folder)).unwrap();
    let mut writers = connect_all(child.address, 2, 1).await;
    model.check(&mut writers).await.unwrap();
    let tally = Tally::until(u64::MAX);
    for (at, writer) in (1..).zip(&mut writers) {
        writer.write(random.fork(), at * 1_000_000, 60, &tally).await;
        if large {
            for key in 0..160 {
                writer.must(format!("put large.{at}.{key} {} 120000", at * 1_000 + key)).await;
            }
        }
    }
    model.learn(&writers);
    child.kill();
    model
}

async fn try_it(folder: &Path, model: &Model) -> (Outcome, String) {
    let child = match Child::start(&ledger::settings(folder)) {
        Ok(child) => child,
        Err(NoStart { refusal: Some(refusal), errors }) if errors.is_empty() => return (Outcome::Refused, refusal),
        Err(no_start) => return (Outcome::Wild, format!("{no_start:?}")),
    };
    let looked = model.clone().look(child.address, 2, 1).await;
    let errors = child.kill();
    match looked {
        Err(Look::Lost(what)) => (Outcome::Lost, what),
        _ if !errors.is_empty() => (Outcome::Wild, errors),
        Ok(()) => (Outcome::Whole, String::new()),
        Err(Look::Told(told)) => (Outcome::ToldByRead, told),
    }
}

#[tokio::test]
async fn a_damaged_folder_is_whole_or_refused_or_told_of() {
    let rounds: u64 = setting("DOG_DAMAGES").unwrap_or(1);
    let mut random = Random::new("damage");
    let mut counts: BTreeMap<(String, Damage, Outcome), u64> = BTreeMap::new();
    let mut bad = Vec::new();
    for large in [false, true] {
        let original = scratch();
        let model = filled(original.path(), &mut random, large).await;
        for path in files(original.path()) {
            let name = path.strip_prefix(original.path()).unwrap().to_owned();
            for how in ALL {
                let rounds = if matches!(how, Damage::Emptied | Damage::Removed) { 1 } else { rounds };
                for _ in 0..rounds {
                    let folder = scratch();
                    copy(original.path(), folder.path());
                    if damage(&folder.path().join(&name), how, &mut random).is_none() {
                        continue;
                    }
                    let (outcome, told) = try_it(folder.path(), &model).await;
                    if matches!(outcome, Outcome::Lost | Outcome::Wild) {
                        bad.push(format!("{} {how:?}: {outcome:?} {told:.300}", name.display()));
                    }
                    *counts.entry((name.display().to_string(), how, outcome)).or_default() += 1;
                }
            }
        }
    }
    let times =
        |wanted| counts.iter().filter(|((_, _, outcome), _)| *outcome == wanted).map(|(_, times)| times).sum::<u64>();
    println!(
        "damage: {} times: {} whole, {} refused in one line, {} told by reads",
        counts.values().sum::<u64>(),
        times(Outcome::Whole),
        times(Outcome::Refused),
        times(Outcome::ToldByRead)
    );
    for ((name, how, outcome), times) in counts {
        println!("{name:<32} {how:?}: {outcome:?}, {times} times");
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
