//! What the measurements share.

use std::time::Duration;

/// A measurement warms up, repeats, and runs its peers: no limit of a test fits it.
pub(super) const LIMIT: Duration = Duration::from_hours(2);

/// Building the peers takes a while: they have some hundred dependencies, and there may be two cores.
pub(super) const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// The name of a flag: `--seconds=3` is `--seconds`.
pub(super) fn flag(argument: &str) -> &str {
    argument.split('=').next().unwrap_or(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_known_with_its_value() {
        assert_eq!(flag("--only=one"), "--only");
        assert_eq!(flag("--quick"), "--quick");
    }
}
