//! What happens to a durable log and its records.

use dog_engine::log::{AnswerBounds, KEY_AGE, PageOrder};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append { bytes: usize, key: Option<u8> },
    Begin { write: Write },
    End { outcome: Outcome },
    Crash { is_stored: bool },
    ReadForTrim { takes: bool },
    Expire,
    Memory { publications: u32, bytes: u32 },
    Pass { millis: u64 },
    GoBack { millis: u64 },
    Ask { asked: Asked },
    AskSlowly { asked: Asked, reads_early: bool },
    Step,
}

/// A write to the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Commit,
    Trim,
    Reset,
    Empty,
    Purge,
    Removal,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    StoredAndUnknown,
    NotStored,
}

/// A question, with a position that is so far before the second one after the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) back: Option<u64>,
    pub(crate) most: u32,
    /// `None`: the newest publications.
    pub(crate) order: Option<PageOrder>,
    pub(crate) other_epoch: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let order = prop_oneof![Just(None), Just(Some(PageOrder::OldestFirst)), Just(Some(PageOrder::NewestFirst))];
    (prop::option::weighted(0.7, 0..20_u64), 0..6_u32, order, prop::bool::weighted(0.05))
        .prop_map(|(back, most, order, other_epoch)| Asked { back, most, order, other_epoch })
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let outcome =
        prop_oneof![5 => Just(Outcome::Stored), 1 => Just(Outcome::StoredAndUnknown), 1 => Just(Outcome::NotStored)];
    let key = prop::option::weighted(0.3, 0..4_u8);
    let write = prop_oneof![
        20 => Just(Write::Commit),
        3 => Just(Write::Trim),
        1 => Just(Write::Reset),
        2 => Just(Write::Empty),
        1 => Just(Write::Purge),
        2 => Just(Write::Removal)
    ];
    prop_oneof![
        12 => (0..120_usize, key).prop_map(|(bytes, key)| Op::Append { bytes, key }),
        10 => write.prop_map(|write| Op::Begin { write }),
        10 => outcome.prop_map(|outcome| Op::End { outcome }),
        1 => any::<bool>().prop_map(|is_stored| Op::Crash { is_stored }),
        3 => any::<bool>().prop_map(|takes| Op::ReadForTrim { takes }),
        1 => Just(Op::Expire),
        1 => (0..6_u32, 0..300_u32).prop_map(|(publications, bytes)| Op::Memory { publications, bytes }),
        3 => (0..2000_u64).prop_map(|millis| Op::Pass { millis }),
        1 => (KEY_AGE.as_secs() * 1000 - 1000..KEY_AGE.as_secs() * 1000 + 1000).prop_map(|millis| Op::Pass { millis }),
        1 => (0..500_u64).prop_map(|millis| Op::GoBack { millis }),
        8 => asked().prop_map(|asked| Op::Ask { asked }),
        2 => (asked(), any::<bool>()).prop_map(|(asked, reads_early)| Op::AskSlowly { asked, reads_early }),
        4 => Just(Op::Step),
    ]
}

pub(crate) fn memory() -> impl Strategy<Value = AnswerBounds> {
    prop_oneof![Just(AnswerBounds::RECOVERY), Just(AnswerBounds { publications: 3, bytes: 200 })]
}
