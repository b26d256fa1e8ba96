//! A data folder whose files were cut short or changed while no server used it. A server on it either has all that was
//! acknowledged, or refuses to start with an error of one line, or reports the damage to those who read. It never goes
//! on as if nothing were missing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::child::{Child, LOGS, NoStart, Random, setting};
use crate::ledger;
use crate::ledger::clients::{Look, Model, Tally, connect_all};

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// One bit is flipped, where there is data.
    Flipped,
    /// 512 bytes are set to zero. Some of them were not zero before.
    Zeroed,
    /// The file is cut off within its data.
    Cut,
    /// The file is emptied.
    Emptied,
    /// The file is removed.
    Removed,
}

const ALL: [Damage; 5] = [Damage::Flipped, Damage::Zeroed, Damage::Cut, Damage::Emptied, Damage::Removed];

/// How many folders are tried at a time. A start spends more time waiting for the disk than computing.
const TOGETHER: usize = 3;

/// What a damage led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The server starts and has everything.
    Whole,
    /// The server refuses to start with an error of one line, and every file is unchanged.
    Refused,
    /// The server refuses to start, and has changed a file.
    Changed,
    /// The server starts, and reads of what is damaged fail.
    ToldByRead,
    /// The server starts, and something is missing.
    Lost,
    /// The server dies, or prints no error, or prints more than one line.
    Wild,
}

/// A file of the folder, without the zeros at its end. The database makes files larger than their data.
#[derive(PartialEq, Eq)]
struct Kept {
    name: PathBuf,
    bytes: Vec<u8>,
    length: u64,
}

/// Reads all files of a folder into memory. They are written to a new folder for each damage.
fn files(folder: &Path, within: &Path, found: &mut Vec<Kept>) {
    for entry in fs::read_dir(within).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(folder, &path, found);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let length = bytes.len() as u64;
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        bytes.shrink_to_fit();
        found.push(Kept { name: path.strip_prefix(folder).unwrap().to_owned(), bytes, length });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
}

/// Returns a temporary folder, in memory if there is a memory file system.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn copy(files: &[Kept], to: &Path) {
    for Kept { name, bytes, length } in files {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(*length).unwrap();
    }
}

/// Damages the file. Returns `None` if it has nothing that could be damaged in this way.
fn damage(folder: &Path, Kept { name, bytes, .. }: &Kept, damage: Damage, random: &mut Random) -> Option<()> {
    let used = bytes.len();
    if used == 0 {
        return None;
    }
    let path = folder.join(name);
    let at = random.below(used as u64);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
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

/// Fills a folder and kills its server. Returns what must be in the folder. With `large` values the database also
/// writes tables.
async fn filled(folder: &Path, random: &mut Random, large: bool) -> Model {
    let mut model = Model::default();
    let child = Child::start(&ledger::settings(folder)).unwrap();
    let mut writers = connect_all(child.address, 2, 1).await;
    model.check(&mut writers).await.unwrap();
    let tally = Tally::until(u64::MAX);
    // All clients write at the same time, because one that is silent for a minute would be closed.
    let fill = (1..).zip(&mut writers).map(|(at, writer)| {
        let (random, tally) = (random.fork(), &tally);
        async move {
            writer.write(random, at * 1_000_000, 60, tally).await;
            for key in 0..if large { 160 } else { 0 } {
                writer.must(format!("put large.{at}.{key} {} 120000", at * 1_000 + key)).await;
            }
        }
    });
    futures_util::future::join_all(fill).await;
    model.learn(&writers);
    child.kill();
    model
}

/// Returns the names of the files that differ.
fn changes(before: &[Kept], after: &[Kept]) -> Vec<String> {
    let differ = |file: &&Kept, others: &[Kept]| !others.contains(file);
    let gone = before.iter().filter(|file| differ(file, after)).map(|file| ("before", file));
    let new = after.iter().filter(|file| differ(file, before)).map(|file| ("after", file));
    gone.chain(new).map(|(when, file)| format!("{when}: {}, {} bytes", file.name.display(), file.length)).collect()
}

async fn try_it(folder: &Path, model: &Model) -> (Outcome, String) {
    let mut before = Vec::new();
    files(folder, folder, &mut before);
    let [server, data] = ledger::settings(folder);
    // The child prints the log lines of itself and its libraries, as a server in production does.
    let child = match Child::start(&[server, data, (LOGS, "yes")]) {
        Ok(child) => child,
        Err(NoStart { refusal: Some(refusal), errors }) if errors.is_empty() => {
            let mut after = Vec::new();
            files(folder, folder, &mut after);
            let changes = changes(&before, &after);
            let outcome = if changes.is_empty() { Outcome::Refused } else { Outcome::Changed };
            return (outcome, format!("{refusal} {changes:?}"));
        }
        Err(no_start) => return (Outcome::Wild, format!("{no_start:?}")),
    };
    let looked = model.clone().look(child.address, 2, 1).await;
    let errors = child.kill();
    match looked {
        Err(Look::Lost(what)) => (Outcome::Lost, what),
        _ if errors.contains("panicked") => (Outcome::Wild, errors),
        Ok(()) => (Outcome::Whole, String::new()),
        Err(Look::Told(told)) => (Outcome::ToldByRead, told),
    }
}

/// What one damage to one file led to.
struct Tried {
    name: String,
    how: Damage,
    outcome: Outcome,
    told: String,
}

fn on_this_thread<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Damages each file for which `meant` is true in every way, each time in a folder of its own.
fn try_all(
    files: &[Kept],
    meant: impl Fn(&Kept) -> bool,
    model: &Model,
    rounds: u64,
    random: &mut Random,
) -> Vec<Tried> {
    let mut jobs = Vec::new();
    for file in files.iter().filter(|file| meant(file)) {
        for how in ALL {
            let rounds = if matches!(how, Damage::Emptied | Damage::Removed) { 1 } else { rounds };
            jobs.extend((0..rounds).map(|_| (file, how, random.fork())));
        }
    }
    let (jobs, tried) = (Mutex::new(jobs.into_iter()), Mutex::new(Vec::new()));
    let next = || jobs.lock().unwrap().next();
    let work = || {
        while let Some((file, how, mut random)) = next() {
            let folder = scratch();
            copy(files, folder.path());
            if damage(folder.path(), file, how, &mut random).is_some() {
                let (outcome, told) = on_this_thread(try_it(folder.path(), model));
                let name = file.name.display().to_string();
                tried.lock().unwrap().push(Tried { name, how, outcome, told });
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(work);
        }
    });
    tried.into_inner().unwrap()
}

#[test]
fn a_damaged_folder_is_whole_or_refused_or_told_of() {
    let rounds: u64 = setting("DOG_DAMAGES").unwrap_or(1);
    let mut random = Random::new("damage");
    let mut counts: BTreeMap<(String, Damage, Outcome), u64> = BTreeMap::new();
    let mut bad = Vec::new();
    for large in [false, true] {
        let original = scratch();
        let model = on_this_thread(filled(original.path(), &mut random, large));
        let mut kept = Vec::new();
        files(original.path(), original.path(), &mut kept);
        // With few values the test damages only the journals, which then hold all of them. The other files are damaged
        // in the run with many values.
        let meant = |file: &Kept| large || file.name.extension().is_some_and(|extension| extension == "jnl");
        for Tried { name, how, outcome, told } in try_all(&kept, meant, &model, rounds, &mut random) {
            if matches!(outcome, Outcome::Lost | Outcome::Wild | Outcome::Changed) {
                bad.push(format!("{name} {how:?}: {outcome:?} {told:.300}"));
            }
            *counts.entry((name, how, outcome)).or_default() += 1;
        }
    }
    assert!(counts.len() > 20, "too few files were damaged: {counts:?}");
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

/// A folder that another server uses, or that another release has written, is left unchanged too.
#[test]
fn a_folder_that_cannot_be_used_is_left_as_it_is() {
    let mut random = Random::new("left alone");
    let folder = scratch();
    let model = on_this_thread(filled(folder.path(), &mut random, false));
    let refusal = |why: &str| {
        let [server, data] = ledger::settings(folder.path());
        let mut before = Vec::new();
        files(folder.path(), folder.path(), &mut before);
        let refused = Child::start(&[server, data, (LOGS, "yes")]).err().expect("the folder cannot be used");
        let mut after = Vec::new();
        files(folder.path(), folder.path(), &mut after);
        assert_eq!(changes(&before, &after), Vec::<String>::new(), "{why}");
        assert_eq!(refused.errors, "", "{why}");
        let line = refused.refusal.expect("the refusal has a reason");
        assert!(line.contains(why), "{line}");
    };
    let child = Child::start(&ledger::settings(folder.path())).unwrap();
    refusal("is in use");
    child.kill();
    // A server of an earlier release locks only the database.
    let lock = fs::File::open(folder.path().join("objects/lock")).unwrap();
    lock.try_lock().unwrap();
    refusal("is in use");
    drop(lock);
    for (file, content, why) in
        [("FORMAT", "1\n", "another release"), ("objects/version", "FJL\u{9}", "another release")]
    {
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        refusal(why);
        fs::write(&path, whole).unwrap();
    }
    let child = Child::start(&ledger::settings(folder.path())).unwrap();
    on_this_thread(model.clone().look(child.address, 2, 1)).map_err(|_| "something is lost").unwrap();
    child.kill();
}
