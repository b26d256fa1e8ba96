//! Loads certificates again when their files change.

use std::time::Duration;

use super::reloading::{Reloading, Source};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Loads the certificates again when their files have changed, and have then not changed for the time between two looks: files
/// that belong together are seldom replaced at the same moment. Files that cannot be used are tried again when they have changed
/// again. Without certificates it never completes.
pub(crate) async fn watch<S: Source>(certificates: Option<&Reloading<S>>) {
    let Some(certificates) = certificates else { return std::future::pending().await };
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let changed = certificates.changed();
        if changed.is_some() && changed == seen {
            // The result is logged and counted.
            let _ = certificates.reload();
            seen = None;
        } else {
            seen = changed;
        }
    }
}
