//! An App whose Replicas store what they are told to, over WebSockets; and the checks of what they must have stored.
//!
//! A client says `put KEY NUMBER SIZE`, `pair KEY NUMBER` (two keys and a record of the log in one transaction), `transfer FROM TO AMOUNT`
//! (between two accounts), `alarm NUMBER` or `dump`.

pub(crate) mod clients;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dog::internal::{decode, encode, log_records, write_log_record};
use dog::{
    App, ClientId, Context, Dog, Error, Failure, Group, GroupContext, Limit, List, Message, Policy, Replica, Request,
    Response, Result, Socket, Timestamp, Transaction,
};

use dog_native::Server;

use crate::child::{PATIENCE, setting};
use crate::{DATA, SERVER};

/// If this is set, the server has an admin address.
pub(crate) const ADMIN: &str = "DOG_TEST_ADMIN";

/// The settings of a child that runs this server.
pub(crate) type Settings<'a> = [(&'static str, &'a str); 2];

/// Returns the settings of a server that keeps its data in `folder`.
pub(crate) fn settings(folder: &Path) -> Settings<'_> {
    [(SERVER, "ledger"), (DATA, folder.to_str().unwrap())]
}

/// Returns the data folder of this process.
pub(crate) fn folder() -> PathBuf {
    setting(DATA).expect("the data folder is set")
}

/// A server of this App. Its timeouts are short, because the tests' clients do not always answer a close.
pub(crate) fn server() -> Server<Ledger> {
    let second = Duration::from_secs(1);
    let server = Server::new(Ledger).workers(2).data(folder()).close_timeout(second).drain_within(second);
    if setting::<String>(ADMIN).is_some() { server.admin("127.0.0.1:0") } else { server }
}

/// The seats per Replica.
pub(crate) const SEATS: u32 = 2;

/// The sum of the accounts 0 to 3 of each Replica. At first all of it is on account 0.
pub(crate) const MONEY: u64 = 1000;

pub(crate) struct Ledger;

impl App for Ledger {
    type Groups = (Ledgers,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        let group = dog.group::<Ledgers>(&dog::query_param(&request, "group").unwrap_or_default());
        Ok(group.identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Ledgers;

impl Group for Ledgers {
    type Replica = Book;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "ledgers";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(SEATS)
    }

    /// The deadline is so long that, even on a busy machine, no Replica counts as unreachable and is replaced by
    /// another.
    fn policy(&self) -> Policy {
        Policy { join_deadline: PATIENCE, ..Policy::default() }
    }
}

pub(crate) struct Book;

impl Replica for Book {
    type Group = Ledgers;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        Ok(socket.send(cx.id().to_string())?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let said = message.as_text().unwrap_or_default();
        match obey(cx, said).await {
            Ok(answer) => socket.send(answer)?,
            // The client is told of a conflict that lasts and of a storage failure. Other errors fail the handler.
            Err(failure) => match failure.downcast_ref::<Error>() {
                Some(error) if error.is_storage() => socket.send(format!("storage {said}: {error}"))?,
                Some(error) if error.is_conflict() => socket.send(format!("conflict {said}"))?,
                _ => return Err(failure),
            },
        }
        Ok(())
    }
}

/// What `pair` writes in one transaction: two entries and a record of the log.
const PAIR: [&str; 3] = [".left", ".right", ".log"];

/// The year 2100. Alarms are set here to be stored, not to become due.
const FAR_OFF: u64 = 4_102_444_800_000;

/// What is stored under a key: a number, and bytes that follow from it.
type Kept = (u64, Vec<u8>);

/// Returns bytes that differ for each number and cannot be compressed.
fn filler(number: u64, size: usize) -> Vec<u8> {
    let mut state = number;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

async fn obey(cx: &Context<Book>, said: &str) -> Result<String> {
    let storage = cx.storage();
    match said.split(' ').collect::<Vec<_>>()[..] {
        ["put", key, number, size] => {
            let number = number.parse()?;
            storage.put(key, &(number, filler(number, size.parse()?))).await?;
        }
        ["pair", key, number] => {
            let kept: Kept = (number.parse()?, Vec::new());
            let both = async |entries: &Transaction| {
                entries.put(&format!("{key}.left"), &kept)?;
                write_log_record(entries, format!("{key}.log").into(), Some(encode(&kept)?));
                Ok(entries.put(&format!("{key}.right"), &kept)?)
            };
            storage.transaction(both).await?;
        }
        ["transfer", from, to, amount] => transfer(cx, from, to, amount.parse()?).await?,
        ["alarm", number] => cx.set_alarm("far", Timestamp::from_millis(FAR_OFF + number.parse::<u64>()?), &()).await?,
        ["dump"] => {
            let entries: Vec<(String, Kept)> = storage.list(&List::all()).await?;
            let mut dump = String::from("dump");
            for (key, (number, bytes)) in entries {
                if bytes != filler(number, bytes.len()) {
                    return Err(Failure::new(format!("the bytes under {key} are not those of {number}")));
                }
                dump.push_str(&format!(" {key} {number}"));
            }
            let all = (Bound::Unbounded, Bound::Unbounded);
            for (key, record) in log_records(&storage, all, usize::MAX, false).await? {
                let (number, _): Kept = decode(&record)?;
                dump.push_str(&format!(" {} {number}", std::str::from_utf8(&key)?));
            }
            if let Some(at) = cx.alarm("far").await? {
                dump.push_str(&format!(" alarm {}", at.as_millis() - FAR_OFF));
            }
            return Ok(dump);
        }
        _ => return Err(Failure::new(format!("what is {said:?}?"))),
    }
    Ok(format!("done {said}"))
}

async fn transfer(cx: &Context<Book>, from: &str, to: &str, amount: u64) -> Result {
    let moved = async |entries: &Transaction| {
        let first: Option<Kept> = entries.get("account.0").await?;
        if first.is_none() {
            entries.put("account.0", &(MONEY, Vec::<u8>::new()))?;
        }
        let read = async |account: &str| -> Result<u64> {
            Ok(entries.get::<Kept>(&format!("account.{account}")).await?.map_or(0, |(number, _)| number))
        };
        let taken = read(from).await?.min(amount);
        if from != to {
            let (less, more) = (read(from).await? - taken, read(to).await? + taken);
            entries.put(&format!("account.{from}"), &(less, Vec::<u8>::new()))?;
            entries.put(&format!("account.{to}"), &(more, Vec::<u8>::new()))?;
        }
        Ok(())
    };
    cx.storage().transaction(moved).await
}

/// What one Replica must have stored: under each key at least the number that was acknowledged last, and at most the
/// number that was sent last. The numbers of a key only grow, and are sent in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected(BTreeMap<String, Range>);

#[derive(Clone, Copy, Debug, Default)]
struct Range {
    acknowledged: Option<u64>,
    sent: u64,
}

impl Expected {
    /// Records that `said` was sent.
    pub(crate) fn sent(&mut self, said: &str) {
        self.note(said, |range, number| range.sent = range.sent.max(number));
    }

    /// Records that `said` was acknowledged.
    pub(crate) fn acknowledged(&mut self, said: &str) {
        self.note(said, |range, number| range.acknowledged = range.acknowledged.max(Some(number)));
    }

    fn note(&mut self, said: &str, change: impl Fn(&mut Range, u64)) {
        let keys = match said.split(' ').collect::<Vec<_>>()[..] {
            ["put", key, number, _] => vec![(key.to_owned(), number)],
            ["pair", key, number] => PAIR.map(|part| (format!("{key}{part}"), number)).to_vec(),
            ["alarm", number] => vec![("alarm".to_owned(), number)],
            _ => Vec::new(),
        };
        for (key, number) in keys {
            change(self.0.entry(key).or_default(), number.parse().unwrap());
        }
    }

    /// Returns how many keys hold a number that was acknowledged.
    pub(crate) fn keys(&self) -> usize {
        self.0.values().filter(|range| range.acknowledged.is_some()).count()
    }

    /// Returns what is wrong with the content of a Replica. From now on the Replica must have what it has now.
    pub(crate) fn check(&mut self, dump: &str) -> Vec<String> {
        let mut words = dump.split(' ').skip(1);
        let mut found = BTreeMap::new();
        while let (Some(key), Some(number)) = (words.next(), words.next()) {
            found.insert(key.to_owned(), number.parse::<u64>().unwrap());
        }
        let mut wrong = self.lost(&found);
        for (key, number) in &found {
            let pair = PAIR.iter().find_map(|part| key.strip_suffix(part));
            if pair.is_some_and(|key| PAIR.iter().any(|part| found.get(&format!("{key}{part}")) != Some(number))) {
                wrong.push(format!("half a transaction: {key} is {number}, but everything is {found:?}"));
            }
            let known = self.0.get(key).map_or(0, |range| range.sent);
            if !key.starts_with("account.") && *number > known {
                wrong.push(format!("{key} is {number}, which was never put; the last was {known}"));
            }
        }
        let accounts = found.iter().filter(|(key, _)| key.starts_with("account.")).map(|(_, money)| money);
        let money: u64 = accounts.sum();
        if found.contains_key("account.0") && money != MONEY {
            wrong.push(format!("half a transfer: there are {money} of {MONEY}"));
        }
        for (key, range) in &mut self.0 {
            // A number that is not there now was lost before it was stored, so it must not appear later.
            range.acknowledged = found.get(key).copied();
            range.sent = range.acknowledged.unwrap_or(0);
        }
        wrong
    }

    fn lost(&self, found: &BTreeMap<String, u64>) -> Vec<String> {
        let mut lost = Vec::new();
        for (key, range) in &self.0 {
            let there = found.get(key).copied();
            // Two clients set the same alarm, so the order of their writes is not known.
            let missing = if key == "alarm" { there.is_none() } else { there < range.acknowledged };
            if missing && range.acknowledged.is_some() {
                lost.push(format!("lost: {key} is {there:?}, and {:?} was acknowledged", range.acknowledged));
            }
        }
        lost
    }
}
