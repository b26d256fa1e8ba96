//! A server for the bench whose sockets do one thing with what they are told, as `--verb` says: `whisper` passes it on to
//! the client that the handshake's query named as `to`; `gossip` asks all siblings, and hands it back when all have
//! answered. `GET /seat` has the Group promise a seat, which is given back at once.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use dog::http::StatusCode;
use dog::{
    App, ClientId, Context, Dog, Env, Failure, Group, GroupContext, Limit, Message, Replica, Request, Response, Result,
    Socket, query_param, text_response,
};
use dog_native::Server;
use dog_native::cli::ServerArgs;
use dog_nats::cli::ClusterArgs;

/// Whispers or gossips, for the bench
#[derive(Parser)]
struct Arguments {
    /// What becomes of a message
    #[arg(long)]
    verb: Verb,
    /// Seats on one Replica
    #[arg(long, value_name = "SEATS", default_value = "10000")]
    limit: Limit,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Verb {
    Whisper,
    Gossip,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { verb, limit, server, cluster } = Arguments::parse();
    // A load generator opens all of its sockets from one address.
    let verbs = Server::new(Verbs).env(Env::new().with(limit).with(verb)).max_sockets_per_address(1_000_000);
    server.run(cluster.apply(verbs)).await
}

struct Verbs;

impl App for Verbs {
    type Groups = (Room,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let (Some(client), Some(room)) = (query_param(&request, "u"), query_param(&request, "room")) else {
            return Ok(text_response(StatusCode::BAD_REQUEST, "u and room are missing"));
        };
        let wire = dog.group::<Room>(&room).identify(&ClientId::new(client)?).await?;
        if request.uri().path() == "/seat" {
            return Ok(text_response(StatusCode::OK, "promised"));
        }
        Ok(wire.fetch(request).await?)
    }
}

struct Room {
    limit: Limit,
}

impl Group for Room {
    type Replica = Wire;
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let limit = cx.env().get().copied().ok_or_else(|| Failure::new("the program sets a limit"))?;
        Ok(Self { limit })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

struct Wire {
    verb: Verb,
}

impl Replica for Wire {
    type Group = Room;
    type Gossip = ();
    type Answer = u64;

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let verb = cx.env().get().copied().ok_or_else(|| Failure::new("the program sets a verb"))?;
        Ok(Self { verb })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let to = query_param(&request, "to");
        Ok(cx.connect_with(request, &to)?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        match self.verb {
            Verb::Whisper => {
                let to: Option<Option<String>> = socket.attachment()?;
                let to = to.flatten().ok_or_else(|| Failure::new("the handshake names nobody"))?;
                let reached = socket.whisper(&ClientId::new(to)?, message).await?;
                if reached != 1 {
                    return Err(Failure::new("not one socket was reached"));
                }
            }
            Verb::Gossip => {
                cx.gossip(&()).await?.complete()?;
                socket.send(message)?;
            }
        }
        Ok(())
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<u64> {
        Ok(cx.sockets().count() as u64)
    }
}
