//! Who comes in: [`Gate`], and who that is: [`Admitted`].

use dog::{ClientId, Error, Request, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::denied::Denied;
use crate::origins::Origins;
use crate::revocation::{Looked, Revocations};
use crate::source::TokenSource;
use crate::token::{NoClaims, Token};
use crate::verifier::Verifier;

/// Decides about requests, before they reach any object: the page must be of an admitted [origin](Origins), and the token
/// [valid](Verifier).
///
/// Make one when the program starts and put it into the [`Env`](dog::Env); it is `Send` and `Sync`. `C` is the type of your own
/// claims.
#[derive(Debug)]
pub struct Gate<C = NoClaims> {
    origins: Origins,
    sources: Vec<TokenSource>,
    verifier: Verifier,
    revocations: Option<Revocations>,
    client: fn(&Token<C>) -> Result<ClientId, Error>,
}

/// A client that has come in, with its token. Give it to [`fetch_as`](dog::ReplicaHandle::fetch_as) as the identity: then
/// [`Expiry`](crate::Expiry) knows when its token ends. Serialised, an identity has at most 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted<C = NoClaims> {
    client: ClientId,
    token: Token<C>,
}

impl<C> Admitted<C> {
    /// Who it is.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// The token that says so.
    pub fn token(&self) -> &Token<C> {
        &self.token
    }
}

impl<C: DeserializeOwned> Gate<C> {
    /// Admits who has a token at one of `sources`. The first source at which the request has a token decides; a token there
    /// that is not valid is refused, whatever the other sources have.
    ///
    /// Pages must be of the [same origin](Origins::same). The claim `sub` is the [`ClientId`].
    pub fn new(verifier: Verifier, sources: impl IntoIterator<Item = TokenSource>) -> Self {
        Self {
            origins: Origins::same(),
            sources: sources.into_iter().collect(),
            verifier,
            revocations: None,
            client: subject,
        }
    }

    /// Refuses tokens that were [revoked](Revocations), with status 403. While this node does not know which those are, it
    /// refuses all with 503.
    #[must_use]
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Admits other pages.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Names the client by something else than the claim `sub`, which is the default. A token for which `client` fails is
    /// refused.
    ///
    /// ```
    /// # fn example(verifier: dog_door::Verifier) {
    /// #[derive(serde::Deserialize)]
    /// struct Claims { tenant: String }
    ///
    /// let gate = dog_door::Gate::<Claims>::new(verifier, [dog_door::TokenSource::Bearer])
    ///     .client_by(|token| dog::ClientId::new(format!("{}/{}", token.claims().tenant, token.subject().unwrap_or_default())));
    /// # }
    /// ```
    #[must_use]
    pub fn client_by(mut self, client: fn(&Token<C>) -> Result<ClientId, Error>) -> Self {
        self.client = client;
        self
    }

    /// Decides about a request. Ask before you name a Group: a request that is refused should not create one.
    ///
    /// Cancel safe, as [`Verifier::verify`].
    ///
    /// # Errors
    /// The refusal: with status 403 for a page of another origin, 401 for a token that is missing or not valid, 503 if the keys
    /// cannot be fetched now.
    pub async fn admit(&self, request: &Request, now: Timestamp) -> Result<Admitted<C>, Denied> {
        self.origins.check(request)?;
        for source in &self.sources {
            if let Some(token) = source.find(request)? {
                return self.check(&token, now).await;
            }
        }
        Err(Denied::token("a token is needed: log in", "the request has no token"))
    }

    /// Decides about a token that came in another way, such as in a message. See [`Expiry::renew`](crate::Expiry::renew).
    ///
    /// Cancel safe, as [`Verifier::verify`].
    ///
    /// # Errors
    /// The refusal, with status 401 or 503.
    pub async fn check(&self, token: &str, now: Timestamp) -> Result<Admitted<C>, Denied> {
        let token = self.verifier.verify(token, now).await?;
        let client =
            (self.client)(&token).map_err(|error| Denied::invalid(format!("the token names no client: {error}")))?;
        if let Some(revocations) = &self.revocations {
            revocations.check(&client, &Looked { id: token.id(), issued: token.issued() })?;
        }
        Ok(Admitted { client, token })
    }
}

fn subject<C>(token: &Token<C>) -> Result<ClientId, Error> {
    // The empty name is an error.
    ClientId::new(token.subject().unwrap_or_default())
}
