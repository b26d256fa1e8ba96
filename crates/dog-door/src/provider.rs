//! The cryptography behind `jsonwebtoken`, which has one for the whole process.

use jsonwebtoken::crypto::CryptoProvider;

#[cfg(feature = "public-keys")]
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER as PROVIDER;

#[cfg(not(feature = "public-keys"))]
use crate::hs256::PROVIDER;

/// Makes sure that there is a provider. `jsonwebtoken` panics without one, and also if two crates of a program have switched on
/// different ones. If the program has installed a provider of its own before, that one stays.
pub(crate) fn install() {
    let _ = CryptoProvider::install_default(&PROVIDER);
}
