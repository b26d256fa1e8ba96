//! Random choices that a seed repeats.

/// The environment variable that sets the seed.
const SEED: &str = "DOG_SEED";

/// Returns a random source for a test. Prints the seed and the name of the test, so that the output of a failed test
/// shows the seed.
pub(crate) fn random(test: &str) -> fastrand::Rng {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("DOG_SEED: a number"));
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: {SEED}={seed}");
    fastrand::Rng::with_seed(seed)
}
