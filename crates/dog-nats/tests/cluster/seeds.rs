//! Random choices that can be repeated: the same seed makes the same choices.

/// The environment variable that sets the seed.
const SEED: &str = "DOG_SEED";

/// A random source for a test. It prints the seed with the name of the test: the output of a failed test shows it.
pub(crate) fn random(test: &str) -> fastrand::Rng {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("DOG_SEED: a number"));
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: {SEED}={seed}");
    fastrand::Rng::with_seed(seed)
}
