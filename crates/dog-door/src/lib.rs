#![doc = include_str!("../README.md")]
//!
//! # The files, in reading order
//! - `gate`: [`Gate`], which decides about requests; [`Admitted`]
//! - `origins`: [`Origins`], which pages may connect; `source`: [`TokenSource`], where the token is
//! - `verifier`: [`Verifier`], whether it is valid; `token`: [`Token`], what it says
//! - `key`: [`TokenKey`]; `public_key`: keys in PEM and as JSON; `key_cache`: when keys are fetched (pure); `jwks`: [`Jwks`], who
//!   fetches and who waits
//! - `denied`: [`Denied`], and what a client that was refused should do
//! - `expiry`: [`Expiry`], sockets whose token ends; `expiry_alarm`: the same without a task; `expiry_group`: those that are revoked
//!   while they open; `sessions`: [`Sessions`], signed cookies
//! - `revocation`: [`Revocation`], revoked tokens and clients; `RevocationList`, the Group that keeps them for a
//!   cluster; [`Revocations`], what a node knows of it; `RevocationStore`, where another Group keeps its own
//! - `provider`: the cryptography; `hs256`: what there is of it without public keys; `error`: [`DoorError`]

mod denied;
mod error;
mod expiry;
#[cfg(feature = "alarms")]
mod expiry_alarm;
#[cfg(feature = "revocation-list")]
mod expiry_group;
mod gate;
#[cfg(any(test, not(feature = "public-keys")))]
mod hs256;
#[cfg(feature = "public-keys")]
mod jwks;
mod key;
#[cfg(feature = "public-keys")]
mod key_cache;
mod origins;
mod provider;
#[cfg(feature = "public-keys")]
mod public_key;
mod revocation;
mod sessions;
mod source;
mod token;
mod verifier;

pub use denied::{ComeBack, Denied, FORBIDDEN, TOKEN_REFUSED};
pub use error::DoorError;
pub use expiry::{Expiry, Renewable, Renewal, Renewed};
#[cfg(feature = "alarms")]
pub use expiry_alarm::EXPIRY_ALARM;
pub use gate::{Admitted, Gate};
#[cfg(feature = "public-keys")]
pub use jwks::{FetchKeys, Jwks};
pub use key::TokenKey;
pub use origins::Origins;
pub use revocation::{ListCall, ListReply, MAX_TOKEN_ID, Revocation, Revocations};
#[cfg(feature = "revocation-list")]
pub use revocation::{MaxRevocations, NoReplica, RevocationList, RevocationStore, RevokeIn};
pub use sessions::Sessions;
pub use source::TokenSource;
pub use token::{NoClaims, Token};
pub use verifier::{MAX_TOKEN, Verifier};

/// The page for people who use it: its code is compiled with the tests.
#[cfg(all(doctest, feature = "public-keys"))]
#[doc = include_str!("../../../docs/admission.md")]
struct AdmissionPage;
