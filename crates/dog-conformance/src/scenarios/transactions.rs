//! Promise 11 for transactions: all or nothing, and no value that was read has changed meanwhile.

use super::scenario::{Scenario, scenario};
use super::script::{NO_TEXT, Owner, delete, entries, found, get, put, text};
use crate::app::protocol::{Act, Found, Range, StorageStep, waiting};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("transaction_is_all_or_nothing", &[11], all_or_nothing),
        scenario("transaction_reads_its_own_writes", &[11], own_writes),
        scenario("transaction_with_a_conflict_runs_again", &[7, 11], overtaken),
        scenario("transaction_without_a_conflict_runs_once", &[7, 11], not_overtaken),
        scenario("transaction_that_always_conflicts_fails", &[7, 11], given_up),
        scenario("transactions_of_many_handlers_all_succeed", &[7, 11], crowd),
    ]
}

fn within(prefix: &str) -> Range {
    Range { prefix: prefix.into(), ..Range::default() }
}

/// A body that fails writes nothing.
async fn all_or_nothing(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "all");
    for owner in Owner::BOTH {
        owner.does(&group, vec![put("a", "1"), put("b", "1")]).await?;
        let steps = vec![put("a", "2"), delete("b"), put("c", "2"), StorageStep::Fail];
        same(
            owner.does_one(&group, StorageStep::Transaction(steps.clone())).await?,
            Found::Failed(1),
            "a failed body",
        )?;
        let found = owner.does(&group, vec![get("a"), get("b"), get("c")]).await?;
        same(found, [text("1"), text("1"), NO_TEXT], "what it leaves")?;
        let done = Found::Made(1, vec![Found::Done; 3]);
        same(owner.does_one(&group, StorageStep::Transaction(steps[..3].to_vec())).await?, done, "a whole body")?;
        let found = owner.does(&group, vec![get("a"), get("b"), get("c")]).await?;
        same(found, [text("2"), NO_TEXT, text("2")], "what it leaves")?;
    }
    Ok(())
}

/// Reads and lists in the body see its writes. Others do not see them before the commit.
async fn own_writes(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "own");
    for owner in Owner::BOTH {
        owner.does(&group, vec![put("k/1", "1"), put("k/2", "1"), put("k/3", "1")]).await?;
        let limited = Range { limit: Some(2), reverse: true, ..within("k/") };
        let steps = vec![
            put("k/2", "2"),
            get("k/2"),
            delete("k/3"),
            get("k/3"),
            put("k/0", "2"),
            StorageStep::List(within("k/")),
            StorageStep::List(limited),
        ];
        let Found::Made(1, found) = owner.does_one(&group, StorageStep::Transaction(steps)).await? else {
            return Err(crate::check::ScenarioFailure::new("expected a transaction without a conflict to run once"));
        };
        same(&found[1], &text("2"), "what it has put")?;
        same(&found[3], &NO_TEXT, "what it has deleted")?;
        same(&found[5], &entries(&[("k/0", "2"), ("k/1", "1"), ("k/2", "2")]), "a list")?;
        same(&found[6], &entries(&[("k/2", "2"), ("k/1", "1")]), "a list backwards")?;
    }
    Ok(())
}

/// Two clients of one Replica. The transaction of the first one waits at a gate while the second one does something.
struct Pair {
    first: Client,
    second: Client,
}

impl Pair {
    async fn new(stage: &Stage, name: &str) -> Outcome<Self> {
        let [first, second] = stage.pinned("hall", name).join_each(["first", "second"]).await?;
        Ok(Self { first, second })
    }

    /// The result of a transaction that runs `before`, waits, and runs `after`. While it waits, `meanwhile` runs.
    async fn overtake(
        &mut self,
        round: &str,
        before: Vec<StorageStep>,
        after: Vec<StorageStep>,
        meanwhile: StorageStep,
    ) -> Outcome<Found> {
        let gate = round.to_owned();
        let steps = [before, vec![StorageStep::Pass(gate.clone())], after].concat();
        let command = self.first.tell(Act::Storage { steps: vec![StorageStep::Transaction(steps)] }).await?;
        same(self.second.hear().await?, waiting(&gate), "a transaction that waits")?;
        self.second.keep(vec![meanwhile]).await?;
        self.second.obey(Act::Open { gate: gate.clone() }).await?;
        let told = self.first.reply(command).await?.told;
        // A second run finds the gate open and passes it.
        self.second.broadcast("end").await?;
        self.second.hear_until("end").await?;
        super::script::first(found(told)?)
    }
}

/// The entries before each case of [`overtaken`].
fn before() -> Vec<StorageStep> {
    let gone = ["b", "k/0", "k/9", "k/15"].map(delete);
    [vec![put("a", "1"), put("k/1", "1"), put("k/2", "1")], gone.to_vec()].concat()
}

/// If another handler changes a value that was read, in any way, the body runs again and sees the change.
async fn overtaken(stage: Stage) -> Outcome {
    let mut pair = Pair::new(&stage, "overtaken").await?;
    let list = || StorageStep::List(within("k/"));
    let first = |limit, reverse| StorageStep::List(Range { limit: Some(limit), reverse, ..within("k/") });
    let cases: [(&str, StorageStep, StorageStep, Found); 12] = [
        ("put", get("a"), put("a", "2"), text("2")),
        ("delete", get("a"), delete("a"), NO_TEXT),
        ("put what was not there", get("b"), put("b", "2"), text("2")),
        ("list, changed", list(), put("k/1", "2"), entries(&[("k/1", "2"), ("k/2", "1")])),
        ("list, more", list(), put("k/9", "2"), entries(&[("k/1", "1"), ("k/2", "1"), ("k/9", "2")])),
        ("list, fewer", list(), delete("k/2"), entries(&[("k/1", "1")])),
        ("limit, before", first(1, false), put("k/0", "2"), entries(&[("k/0", "2")])),
        ("limit, gone", first(1, false), delete("k/1"), entries(&[("k/2", "1")])),
        ("limit, backwards", first(1, true), put("k/9", "2"), entries(&[("k/9", "2")])),
        ("limit, last changed", first(2, false), put("k/2", "2"), entries(&[("k/1", "1"), ("k/2", "2")])),
        ("limit not reached", first(3, true), put("k/0", "2"), entries(&[("k/2", "1"), ("k/1", "1"), ("k/0", "2")])),
        ("transaction", get("a"), StorageStep::Transaction(vec![put("a", "3"), put("x", "3")]), text("3")),
    ];
    for (case, read, change, wanted) in cases {
        pair.first.keep(before()).await?;
        let found = pair.overtake(case, vec![read], vec![put("out", case)], change).await?;
        let Found::Made(2, steps) = found else {
            return Err(crate::check::ScenarioFailure::new(format!("{case}: expected two runs, got {found:?}")));
        };
        same(&steps[0], &wanted, case)?;
        same(pair.second.keep(vec![get("out")]).await?, [text(case)], "what it has put")?;
    }
    // A deletion in the transaction makes room in the limit for another entry.
    pair.first.keep(before()).await?;
    let read = vec![delete("k/1"), first(1, false)];
    let found = pair.overtake("own deletion", read, vec![], put("k/15", "2")).await?;
    ensure(matches!(&found, Found::Made(2, steps) if steps[1] == entries(&[("k/15", "2")])), format!("{found:?}"))?;
    let found = pair.overtake("delete all", vec![get("a")], vec![put("out", "all")], StorageStep::DeleteAll).await?;
    ensure(matches!(&found, Found::Made(2, steps) if steps[0] == NO_TEXT), format!("delete all: {found:?}"))
}

/// Values that it has not read, or only written, may change. A body that only reads sees the values from before.
async fn not_overtaken(stage: Stage) -> Outcome {
    let mut pair = Pair::new(&stage, "beside").await?;
    let bounded = Range { end: Some("k/2".into()), ..within("k/") };
    let first = |limit, reverse| StorageStep::List(Range { limit: Some(limit), reverse, ..within("l/") });
    pair.first.keep(["l/1", "l/2", "l/3", "l/4"].map(|key| put(key, "1")).into()).await?;
    let cases = [
        ("another key", get("a"), put("b", "2")),
        ("a key beside the range", StorageStep::List(bounded), put("k/2", "2")),
        ("a key that it puts itself", put("a", "9"), put("a", "2")),
        ("a key behind a limit", first(2, false), put("l/3", "2")),
        ("a key just behind a limit", first(2, false), put("l/20", "2")),
        ("a key before a limit, backwards", first(2, true), delete("l/2")),
        ("a list of nothing", first(0, false), put("l/1", "2")),
    ];
    for (case, step, change) in cases {
        let found = pair.overtake(case, vec![step], vec![put("out", case)], change).await?;
        ensure(matches!(found, Found::Made(1, _)), format!("{case}: {found:?}, wanted one run"))?;
    }
    same(&pair.second.keep(vec![get("a"), get("out")]).await?[0], &text("9"), "the later of two writes")
}

/// A body that changes a value it has read in each run, with a write that it does not await, does not run forever.
async fn given_up(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "given");
    let told = group.command("client", Act::AlwaysConflict { key: "a".into() }).await?.told;
    let crate::app::protocol::Told::Refused { why } = told else {
        return Err(crate::check::ScenarioFailure::new(format!(
            "expected a transaction that always conflicts to fail, got {told:?}"
        )));
    };
    same(why, crate::app::protocol::Why::Conflict, "why it is given up")?;
    let found = found(group.command("client", Act::Storage { steps: vec![get("a"), get("out")] }).await?.told)?;
    ensure(matches!(&found[0], Found::Text(Some(_))), "the writes that overtook it")?;
    same(&found[1], &NO_TEXT, "what it would have put")
}

/// Many handlers of one object read and write the same key at the same time. Each transaction commits exactly once, even if its
/// body waits for others between the read and the write.
async fn crowd(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "crowd");
    for (owner, handlers) in [(Owner::Replica, 48), (Owner::Group, 50), (Owner::Group, 400)] {
        for pauses in [0, 3] {
            let key = format!("{owner:?}/{handlers}/{pauses}");
            let all = (0..handlers).map(|handler| {
                let steps = vec![StorageStep::Transaction(vec![StorageStep::Add(key.clone(), pauses)])];
                let group = &group;
                async move { owner.does_for(group, &format!("handler{handler}"), steps).await }
            });
            let mut made = Vec::new();
            for found in futures_util::future::try_join_all(all).await? {
                match super::script::first(found)? {
                    Found::Made(_, found) => made.push(found),
                    other => {
                        return Err(crate::check::ScenarioFailure::new(format!(
                            "expected a committed transaction of each of {handlers} handlers, got {other:?}"
                        )));
                    }
                }
            }
            let mut numbers: Vec<_> = made.into_iter().flatten().collect();
            numbers.sort_by_key(|found| if let Found::Number(number) = found { *number } else { None });
            let wanted: Vec<_> = (1..=handlers).map(|number| Found::Number(Some(number))).collect();
            same(numbers, wanted, "what the handlers have put, each after another")?;
        }
    }
    Ok(())
}
