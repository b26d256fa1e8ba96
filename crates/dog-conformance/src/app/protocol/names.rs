//! Names with a meaning in the test App: headers, prefixes of clients, and the automatic response.

use dog::{AutoResponse, Jurisdiction, Place, Region};

/// The header of the response to a handshake that contains the id of the Replica.
pub const REPLICA_HEADER: &str = "replica";

/// The header that tells whether the response of an object still had its extension when it reached the App.
pub const MARKED_HEADER: &str = "marked";

/// A socket of a client with this prefix waits in `on_open` for the gate with the client's name.
pub const GATED: &str = "gated-";
/// The `on_open` of a client with this prefix sends first, once the gate with the client's name is open: `greeting`.
pub const GREETED: &str = "greeted-";
/// A socket of a client with this prefix fails in `on_open`.
pub const FAILING: &str = "failing-";
/// A socket of a client with this prefix is closed in `on_open`, with 1008.
pub const UNWANTED: &str = "unwanted-";
/// A socket of a client with this prefix starts with an [`Attached`](super::Attached) that contains the client's name.
pub const TAGGED: &str = "tagged-";
/// A socket of a client with this prefix subscribes in `on_open` to the topic of the same name.
pub const TOPICAL: &str = "topical-";
/// A socket of a client with this prefix goes on in `on_open` where its client has been: see [`SINCE`](super::SINCE).
pub const RETURNING: &str = "returning-";
/// An event stream of a client with this prefix begins with its session.
pub const TALKING: &str = "talking-";
/// `on_close` fails for a client with this prefix.
pub const SORE: &str = "sore-";
/// `on_close` closes all other sockets of the Replica for a client with this prefix, with [`OVER`].
pub const HOST: &str = "host-";
/// The code and the reason with which a [`HOST`] closes the other sockets.
pub const OVER: (u16, &str) = (4000, "over");
/// `clusterize` of the class `named` fails for a client with this prefix.
pub const UNPLACEABLE: &str = "unplaceable-";
/// The Replica that the class `named` creates for a client with this prefix fails in `activate`.
pub const UNWAKEABLE: &str = "unwakeable-";
/// The Replica that the class `named` creates for a client with this prefix gets the location [`FAR`].
pub const PLACED: &str = "placed-";
/// The location of Replicas for clients with the prefix [`PLACED`].
pub const FAR: Place = Place::Near(Region::Oceania);
/// The Replica that the class `named` creates for a client with this prefix gets the location [`BOUND`].
pub const BOUND_THERE: &str = "bound-";
/// The location of Replicas for clients with the prefix [`BOUND_THERE`].
pub const BOUND: Place = Place::Within(Jurisdiction::EuropeanUnion);
/// The Replica that the class `match` creates for this client delays what is over 100 kB per second.
pub const DELAYED: &str = "delayed";
/// The Replica that the class `match` creates for this client delays what is over its rate.
pub const HELD: &str = "held";
/// The Replica that the class `match` creates for this client drops what is over its rate.
pub const DROPPED: &str = "dropped";
/// The Replica that the class `match` creates for this client closes sockets that are over their rate.
pub const CUT_OFF: &str = "cut-off";
/// The automatic response of every Replica.
pub const AUTO_RESPONSE: AutoResponse = AutoResponse::new("are you there?", "I am");
/// `clusterize` of the class `named` returns the same Replica for all clients with this prefix.
pub const TOGETHER: &str = "together-";
