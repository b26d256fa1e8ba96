//! Repeats requests until they are answered. A repeated write contains a nonce. Its caller reads the subject back to
//! find out which attempt was stored.

use std::time::Duration;

use super::StreamError;

/// The pause before a failed request is repeated.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Repeats a request that failed with [`StreamError::Retry`] or [`StreamError::Unknown`], as long as `may` returns
/// true.
pub(crate) async fn retry_while<T, F>(may: impl Fn() -> bool, request: impl Fn() -> F) -> Result<T, StreamError>
where
    F: Future<Output = Result<T, StreamError>>,
{
    loop {
        match request().await {
            Err(StreamError::Retry(_) | StreamError::Unknown(_)) if may() => {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}

/// Returns 128 random bits as text.
pub(crate) fn nonce() -> String {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without random nonces, two requests could be taken for one.
        panic!("the operating system gives no random bytes: {error}");
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
