//! What goes with a request to an object, in a header: [`RequestHead`].

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dog::http::HeaderMap;
use dog::internal::{Identity, Kind};
use dog::{Error, Request};
use dog_engine::address::Ticket;
use dog_engine::request::HEAD;
use dog_engine::wire;
use serde::{Deserialize, Serialize};

/// What goes with a request to an object.
#[derive(Serialize, Deserialize)]
pub(crate) struct RequestHead {
    /// For a Replica.
    ticket: Option<Ticket>,
    /// What the App has said about the client, for a Replica.
    identity: Option<Bytes>,
    /// The address of the client.
    peer: Option<IpAddr>,
}

impl RequestHead {
    pub(crate) fn of(ticket: Option<Ticket>, request: &Request) -> Self {
        let identity = request.extensions().get::<Identity>().map(|identity| identity.0.clone());
        Self { ticket, identity, peer: dog::peer_address(request) }
    }

    /// The value of [`HEAD`].
    pub(crate) fn to_header(&self) -> Result<String, Error> {
        Ok(BASE64_STANDARD.encode(wire::encode(self)?))
    }

    /// Takes the value of [`HEAD`] from the headers of a request.
    pub(crate) fn take(headers: &mut HeaderMap) -> Result<Self, Error> {
        let head = headers.remove(HEAD).ok_or_else(|| Error::new(Kind::NoTicket, "the request has no ticket"))?;
        let head = BASE64_STANDARD.decode(head.as_bytes());
        wire::decode(&head.map_err(|_| Error::new(Kind::NoTicket, "the ticket is damaged"))?)
    }

    /// Puts what an object can ask for into the request. Returns the ticket.
    pub(crate) fn unpack(self, request: &mut Request) -> Option<Ticket> {
        if let Some(peer) = self.peer {
            dog::set_peer_address(request, peer);
        }
        if let Some(identity) = self.identity {
            request.extensions_mut().insert(Identity(identity));
        }
        self.ticket
    }
}
