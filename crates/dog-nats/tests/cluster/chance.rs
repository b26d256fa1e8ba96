//! Chance that can be had again: the same seed, the same choices.

/// The environment variable that sets the seed.
const SEED: &str = "DOG_SEED";

/// Chance for a test, whose name it tells the seed by: a test that fails shows what it has printed.
pub(crate) fn chance(test: &str) -> fastrand::Rng {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("DOG_SEED: a number"));
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: {SEED}={seed}");
    fastrand::Rng::with_seed(seed)
}
