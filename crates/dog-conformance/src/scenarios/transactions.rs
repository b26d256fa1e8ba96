//! Promise 11 for several keys at once: all or nothing, and nothing that was read has changed meanwhile.

use super::script::{NO_TEXT, Owner, delete, entries, found, get, put, text};
use super::{Scenario, scenario};
use crate::app::protocol::{Act, Found, Keep, Range, waiting};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("transaction_is_all_or_nothing", &[11], all_or_nothing),
        scenario("transaction_reads_its_own_writes", &[11], own_writes),
        scenario("transaction_that_was_overtaken_runs_again", &[7, 11], overtaken),
        scenario("transaction_that_read_other_keys_does_not", &[7, 11], not_overtaken),
        scenario("transaction_that_is_always_overtaken_is_given_up", &[7, 11], given_up),
        scenario("transactions_of_many_handlers_all_succeed", &[7, 11], crowd),
    ]
}

fn within(prefix: &str) -> Range {
    Range { prefix: prefix.into(), ..Range::default() }
}

/// A body that fails has written nothing.
async fn all_or_nothing(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "all");
    for owner in Owner::BOTH {
        owner.does(&place, vec![put("a", "1"), put("b", "1")]).await?;
        let steps = vec![put("a", "2"), delete("b"), put("c", "2"), Keep::Fail];
        same(owner.does_one(&place, Keep::Transaction(steps.clone())).await?, Found::Failed(1), "a failed body")?;
        let found = owner.does(&place, vec![get("a"), get("b"), get("c")]).await?;
        same(found, [text("1"), text("1"), NO_TEXT], "what it leaves")?;
        let done = Found::Made(1, vec![Found::Done; 3]);
        same(owner.does_one(&place, Keep::Transaction(steps[..3].to_vec())).await?, done, "a whole body")?;
        let found = owner.does(&place, vec![get("a"), get("b"), get("c")]).await?;
        same(found, [text("2"), NO_TEXT, text("2")], "what it leaves")?;
    }
    Ok(())
}

/// Reads and lists see what the body has written, and nobody else does before it is done.
async fn own_writes(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "own");
    for owner in Owner::BOTH {
        owner.does(&place, vec![put("k/1", "1"), put("k/2", "1"), put("k/3", "1")]).await?;
        let limited = Range { limit: Some(2), reverse: true, ..within("k/") };
        let steps = vec![
            put("k/2", "2"),
            get("k/2"),
            delete("k/3"),
            get("k/3"),
            put("k/0", "2"),
            Keep::List(within("k/")),
            Keep::List(limited),
        ];
        let Found::Made(1, found) = owner.does_one(&place, Keep::Transaction(steps)).await? else {
            return Err(crate::check::Trouble::new("a transaction that nobody overtook did not run once"));
        };
        same(&found[1], &text("2"), "what it has put")?;
        same(&found[3], &NO_TEXT, "what it has deleted")?;
        same(&found[5], &entries(&[("k/0", "2"), ("k/1", "1"), ("k/2", "2")]), "a list")?;
        same(&found[6], &entries(&[("k/2", "2"), ("k/1", "1")]), "a list backwards")?;
    }
    Ok(())
}

/// Two clients of one Replica: the first one's transaction waits at a gate while the second one does something.
struct Pair {
    first: Client,
    second: Client,
}

impl Pair {
    async fn new(stage: &Stage, name: &str) -> Outcome<Self> {
        let [first, second] = stage.pinned("hall", name).join_each(["first", "second"]).await?;
        Ok(Self { first, second })
    }

    /// What comes of a transaction that does `before`, waits, and does `after`, while `meanwhile` is done.
    async fn overtake(&mut self, round: &str, before: Vec<Keep>, after: Vec<Keep>, meanwhile: Keep) -> Outcome<Found> {
        let gate = round.to_owned();
        let steps = [before, vec![Keep::Pass(gate.clone())], after].concat();
        let command = self.first.tell(Act::Keep { steps: vec![Keep::Transaction(steps)] }).await?;
        same(self.second.hear().await?, waiting(&gate), "a transaction that waits")?;
        self.second.keep(vec![meanwhile]).await?;
        self.second.obey(Act::Open { gate: gate.clone() }).await?;
        let told = self.first.reply(command).await?.told;
        // A second run finds the gate open, and says that it passes.
        self.second.broadcast("end").await?;
        self.second.hear_until("end").await?;
        super::script::first(found(told)?)
    }
}

/// What is there before each case of [`overtaken`].
fn before() -> Vec<Keep> {
    let gone = ["b", "k/0", "k/9", "k/15"].map(delete);
    [vec![put("a", "1"), put("k/1", "1"), put("k/2", "1")], gone.to_vec()].concat()
}

/// Whatever way another handler changes what was read, the body runs again, and sees the change.
async fn overtaken(stage: Stage) -> Outcome {
    let mut pair = Pair::new(&stage, "overtaken").await?;
    let list = || Keep::List(within("k/"));
    let first = |limit, reverse| Keep::List(Range { limit: Some(limit), reverse, ..within("k/") });
    let cases: [(&str, Keep, Keep, Found); 12] = [
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
        ("transaction", get("a"), Keep::Transaction(vec![put("a", "3"), put("x", "3")]), text("3")),
    ];
    for (case, read, change, wanted) in cases {
        pair.first.keep(before()).await?;
        let found = pair.overtake(case, vec![read], vec![put("out", case)], change).await?;
        let Found::Made(2, steps) = found else {
            return Err(crate::check::Trouble::new(format!("{case}: {found:?}, wanted two runs")));
        };
        same(&steps[0], &wanted, case)?;
        same(pair.second.keep(vec![get("out")]).await?, [text(case)], "what it has put")?;
    }
    // What it has taken away itself makes room for an entry behind the limit of what is there.
    pair.first.keep(before()).await?;
    let read = vec![delete("k/1"), first(1, false)];
    let found = pair.overtake("own deletion", read, vec![], put("k/15", "2")).await?;
    ensure(matches!(&found, Found::Made(2, steps) if steps[1] == entries(&[("k/15", "2")])), format!("{found:?}"))?;
    let found = pair.overtake("delete all", vec![get("a")], vec![put("out", "all")], Keep::DeleteAll).await?;
    ensure(matches!(&found, Found::Made(2, steps) if steps[0] == NO_TEXT), format!("delete all: {found:?}"))
}

/// What it has not read, or only written, may change; and a body that only reads sees what was there.
async fn not_overtaken(stage: Stage) -> Outcome {
    let mut pair = Pair::new(&stage, "beside").await?;
    let bounded = Range { end: Some("k/2".into()), ..within("k/") };
    let first = |limit, reverse| Keep::List(Range { limit: Some(limit), reverse, ..within("l/") });
    pair.first.keep(["l/1", "l/2", "l/3", "l/4"].map(|key| put(key, "1")).into()).await?;
    let cases = [
        ("another key", get("a"), put("b", "2")),
        ("a key beside the range", Keep::List(bounded), put("k/2", "2")),
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

/// A body whose own reading is changed in each run, by a write that it does not wait for, is not run for ever.
async fn given_up(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "given");
    let told = place.command("client", Act::Quarrel { key: "a".into() }).await?.told;
    let crate::app::protocol::Told::Refused { why } = told else {
        return Err(crate::check::Trouble::new(format!("a transaction that is always overtaken: {told:?}")));
    };
    same(why, crate::app::protocol::Why::Conflict, "why it is given up")?;
    let found = found(place.command("client", Act::Keep { steps: vec![get("a"), get("out")] }).await?.told)?;
    ensure(matches!(&found[0], Found::Text(Some(_))), "the writes that overtook it")?;
    same(&found[1], &NO_TEXT, "what it would have put")
}

/// However many handlers of one object read and write the same at once, each is made, and exactly once; also where the
/// body waits for others between its read and its write.
async fn crowd(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "crowd");
    for (owner, handlers) in [(Owner::Replica, 48), (Owner::Group, 50), (Owner::Group, 400)] {
        for pauses in [0, 3] {
            let key = format!("{owner:?}/{handlers}/{pauses}");
            let all = (0..handlers).map(|handler| {
                let steps = vec![Keep::Transaction(vec![Keep::Add(key.clone(), pauses)])];
                let place = &place;
                async move { owner.does_for(place, &format!("handler{handler}"), steps).await }
            });
            let mut made = Vec::new();
            for found in futures_util::future::try_join_all(all).await? {
                match super::script::first(found)? {
                    Found::Made(_, found) => made.push(found),
                    other => return Err(crate::check::Trouble::new(format!("one of {handlers} handlers: {other:?}"))),
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
