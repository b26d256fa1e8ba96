//! How long a part runs.

/// How long the parts run that can run for any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As CI does.
    Normal,
    /// `--all`.
    Long,
}

impl Length {
    /// One of two values.
    pub(crate) fn choose<T>(self, normal: T, long: T) -> T {
        match self {
            Self::Normal => normal,
            Self::Long => long,
        }
    }
}
