//! Public keys, in PEM and as JSON (feature `public-keys`).

use std::ops::RangeInclusive;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, errors};

use crate::error::DoorError;
use crate::key::TokenKey;
use crate::provider;

/// The lengths of an RSA modulus, in bytes: 2,048 to 4,096 bits.
const RSA_BYTES: RangeInclusive<usize> = 256..=512;

impl TokenKey {
    /// A public RSA key of 2,048 to 4,096 bits in PEM: RS256.
    ///
    /// # Errors
    /// The text is something else, or the key is too short or too long.
    pub fn rs256_pem(pem: &str) -> Result<Self, DoorError> {
        Self::pem(DecodingKey::from_rsa_pem(pem.as_bytes()), Algorithm::RS256, "RSA")
    }

    /// A public key on the curve P-256 in PEM: ES256.
    ///
    /// # Errors
    /// The text is something else, or the key is on another curve.
    pub fn es256_pem(pem: &str) -> Result<Self, DoorError> {
        Self::pem(DecodingKey::from_ec_pem(pem.as_bytes()), Algorithm::ES256, "P-256")
    }

    /// A public Ed25519 key in PEM: EdDSA.
    ///
    /// # Errors
    /// The text is something else.
    pub fn eddsa_pem(pem: &str) -> Result<Self, DoorError> {
        Self::pem(DecodingKey::from_ed_pem(pem.as_bytes()), Algorithm::EdDSA, "Ed25519")
    }

    /// A key as JSON (a JWK): a public key for RS256, ES256 or EdDSA, or a secret (`"kty":"oct"`) for HS256. Its `kid` becomes
    /// the [id](Self::with_id).
    ///
    /// # Errors
    /// The text is something else, or the key is for another algorithm or purpose.
    pub fn jwk(json: &str) -> Result<Self, DoorError> {
        let jwk: Jwk =
            serde_json::from_str(json).map_err(|error| DoorError::new(format!("this is no JWK: {error}")))?;
        if let AlgorithmParameters::OctetKey(_) = &jwk.algorithm {
            let decoding = DecodingKey::from_jwk(&jwk).map_err(|error| DoorError::new(error.to_string()))?;
            let key = Self::hs256(decoding.try_get_as_bytes().unwrap_or_default())?;
            return Ok(key.named(jwk.common.key_id));
        }
        Self::public(&jwk)
    }

    fn pem(decoding: errors::Result<DecodingKey>, algorithm: Algorithm, what: &str) -> Result<Self, DoorError> {
        provider::install();
        let jwk = decoding.and_then(|decoding| Jwk::from_decoding_key(&decoding, Some(algorithm)));
        let jwk = jwk.map_err(|error| DoorError::new(format!("this is no public {what} key in PEM: {error}")))?;
        Self::public(&jwk)
    }

    /// A public key, for the only algorithm that this crate knows for it.
    ///
    /// # Errors
    /// It is for something else.
    pub(crate) fn public(jwk: &Jwk) -> Result<Self, DoorError> {
        let (algorithm, name) = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) => {
                // Four digits of base64 are three bytes.
                let length = key.n.len() * 3 / 4;
                if !RSA_BYTES.contains(&length) {
                    let bits = length * 8;
                    return Err(DoorError::new(format!("an RSA key of {bits} bits: use 2,048 to 4,096")));
                }
                (Algorithm::RS256, KeyAlgorithm::RS256)
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return Err(DoorError::new("a key for another algorithm: use RS256, ES256 or EdDSA")),
        };
        let common = &jwk.common;
        let is_for_it = common.key_algorithm.is_none_or(|algorithm| algorithm == name)
            && common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_it {
            return Err(DoorError::new(format!(
                "a key for another algorithm or purpose than {algorithm:?} signatures"
            )));
        }
        let decoding = DecodingKey::from_jwk(jwk).map_err(|error| DoorError::new(error.to_string()))?;
        Ok(Self::new(decoding, algorithm).named(common.key_id.clone()))
    }

    fn named(self, id: Option<String>) -> Self {
        match id {
            Some(id) => self.with_id(id),
            None => self,
        }
    }
}
