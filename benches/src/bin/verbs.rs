//! A server that the benchmark measures. `--verb` says what a socket does with a message: `whisper` sends it to the client named
//! by `to` in the query of the handshake; `gossip` asks all siblings, and sends the message back when all have answered.
//! `GET /seat` reserves a seat, which is returned at once.

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

/// Whispers or gossips, for the benchmark
#[derive(Parser)]
struct Arguments {
    /// What a socket does with a message
    #[arg(long)]
    verb: Verb,
    /// Seats per Replica
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
    // The load generator opens all sockets from one address.
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
        let replica = dog.group::<Room>(&room).identify(&ClientId::new(client)?).await?;
        if request.uri().path() == "/seat" {
            return Ok(text_response(StatusCode::OK, "reserved"));
        }
        Ok(replica.fetch(request).await?)
    }
}

struct Room {
    limit: Limit,
}

impl Group for Room {
    type Replica = VerbsReplica;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let limit = cx.env().get().copied().ok_or_else(|| Failure::new("the environment has no limit"))?;
        Ok(Self { limit })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

struct VerbsReplica {
    verb: Verb,
}

impl Replica for VerbsReplica {
    type Group = Room;
    type Gossip = ();
    type Answer = u64;

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let verb = cx.env().get().copied().ok_or_else(|| Failure::new("the environment has no verb"))?;
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
                let to = to.flatten().ok_or_else(|| Failure::new("the handshake has no `to`"))?;
                let reached = socket.whisper(&ClientId::new(to)?, message).await?;
                if reached != 1 {
                    return Err(Failure::new("the whisper did not reach exactly one socket"));
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
