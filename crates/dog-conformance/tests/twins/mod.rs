//! An App with two Groups of one name. It must not compile for any host: `cargo xtask test` tries with `--cfg twins`, and
//! nothing else compiles this file.

use dog::{App, Context, Dog, Group, GroupContext, Limit, Replica, Request, Response, Result, http, text_response};

/// What must not compile.
pub struct Twins;

impl App for Twins {
    type Groups = (Chat, Game);

    async fn fetch(&self, _: Request, _: &Dog<Self>) -> Result<Response> {
        Ok(text_response(http::StatusCode::OK, ""))
    }
}

macro_rules! class {
    ($group:ident, $replica:ident, $name:literal) => {
        /// One of the two.
        pub struct $group;

        impl Group for $group {
            type Replica = $replica;
            type Call = ();
            type Reply = ();
            const NAME: &'static str = $name;

            async fn activate(_: &GroupContext) -> Result<Self> {
                Ok(Self)
            }

            fn limit(&self) -> Limit {
                Limit::new(2)
            }
        }

        /// Its Replica.
        pub struct $replica;

        impl Replica for $replica {
            type Group = $group;
            type Gossip = ();
            type Answer = ();

            async fn activate(_: &Context<Self>) -> Result<Self> {
                Ok(Self)
            }

            async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
                Ok(cx.connect(request))
            }
        }
    };
}

class!(Chat, Room, "room");
class!(Game, Board, "room");
