//! A text that the host answers by itself: [`AutoResponse`].

/// Largest request and response of an [`AutoResponse`], in bytes.
pub const MAX_AUTO_RESPONSE: usize = 2048;

/// A text message that the host answers by itself. No handler runs, and a hibernating object is not activated. It serves
/// clients that check whether the connection still works and cannot send a WebSocket ping, such as browsers.
///
/// ```
/// # use dog::*;
/// # struct Lobby;
/// # impl Group for Lobby {
/// #     type Replica = Room;
/// #     type Call = ();
/// #     type Reply = ();
/// #     const NAME: &'static str = "lobby";
/// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
/// #     fn limit(&self) -> Limit { Limit::new(50) }
/// # }
/// struct Room;
/// impl Replica for Room {
///     const AUTO_RESPONSE: Option<AutoResponse> = Some(AutoResponse::new("ping", "pong"));
/// #   type Group = Lobby;
/// #   type Gossip = ();
/// #   type Answer = ();
/// #   async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
/// #   async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoResponse {
    request: &'static str,
    response: &'static str,
}

impl AutoResponse {
    /// A text message that equals `request` byte by byte is answered with `response`.
    ///
    /// # Panics
    /// If one of them is longer than [`MAX_AUTO_RESPONSE`]. In a constant this is a compile error.
    pub const fn new(request: &'static str, response: &'static str) -> Self {
        assert!(request.len() <= MAX_AUTO_RESPONSE && response.len() <= MAX_AUTO_RESPONSE, "2048 bytes at most");
        Self { request, response }
    }

    /// The text that is answered.
    pub const fn request(&self) -> &'static str {
        self.request
    }

    /// The answer.
    pub const fn response(&self) -> &'static str {
        self.response
    }
}
