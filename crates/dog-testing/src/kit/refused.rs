//! Connections that the App refuses after the upgrade.

use dog::internal::CloseAtOnce;
use dog::{Close, Response};

/// Returns how the server closes a connection that the App has refused after the upgrade
/// ([`Dog::refuse_after_upgrade`](dog::Dog::refuse_after_upgrade)), if `response` does that. Such a response opens no socket:
/// [`Cluster::open`](crate::Cluster::open) returns it as an error.
///
/// ```
/// # use dog::*;
/// # struct Lobby;
/// # struct Room;
/// # impl Group for Lobby {
/// #     type Replica = Room;
/// #     type Call = ();
/// #     type Reply = ();
/// #     const NAME: &'static str = "lobby";
/// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
/// #     fn limit(&self) -> Limit { Limit::new(2) }
/// # }
/// # impl Replica for Room {
/// #     type Group = Lobby;
/// #     type Gossip = ();
/// #     type Answer = ();
/// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
/// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
/// # }
/// struct Chat;
/// impl App for Chat {
/// #   type Groups = (Lobby,);
///     async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
///         Ok(dog.refuse_after_upgrade(&request, CloseCode::TRY_AGAIN, "closed today"))
///     }
/// }
/// let cluster = dog_testing::Cluster::new(Chat);
/// let response = cluster.open(dog_testing::websocket("/ws")).unwrap_err();
/// let close = dog_testing::refused_after_upgrade(&response);
/// assert_eq!(close, Some(Close::new(CloseCode::TRY_AGAIN, "closed today")));
/// ```
#[must_use]
pub fn refused_after_upgrade(response: &Response) -> Option<Close> {
    response.extensions().get::<CloseAtOnce>().map(|refused| refused.0.clone())
}
