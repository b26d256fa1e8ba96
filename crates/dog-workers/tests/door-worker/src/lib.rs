//! A room that admits by token. Its sockets close when their tokens end or are revoked, as docs/admission.md says for Workers.
//!
//! | request | does |
//! |---|---|
//! | `GET /ws?token=TOKEN` | opens a socket; the message `renew TOKEN` renews it, any other one answers how many came in this life |
//! | `GET /ws?token=TOKEN&late=1` | the same, and revokes the client when it has been admitted |
//! | `POST /revoke?id=ID`, `POST /revoke?client=NAME` | revokes for an hour; answers how many Replicas did not answer |
//!
//! On targets other than wasm, this crate is empty.

#![cfg(target_family = "wasm")]

mod room;

use std::time::Duration;

use dog::http::{Method, StatusCode};
use dog::{App, ClientId, Dog, Env, Request, Response, Result, query_param, text_response};
use dog_door::{Gate, Revocation, RevokeIn, TokenKey, TokenSource, Verifier};
use dog_workers::worker;
use room::Lobby;

dog_workers::export!(Door; Lobby; env = settings);

const HOUR: Duration = Duration::from_secs(3600);

/// The variable `SECRET` signs the tokens.
fn settings(bindings: &worker::Env) -> Env {
    let secret = bindings.var("SECRET").map(|secret| secret.to_string()).unwrap_or_default();
    match TokenKey::hs256(secret.as_bytes()) {
        Ok(key) => {
            let verifier = Verifier::new(key).audience("__Host-session").leeway(Duration::ZERO);
            Env::new().with::<Gate>(Gate::new(verifier, [TokenSource::Query("token".to_owned())]))
        }
        Err(_) => Env::new(),
    }
}

struct Door;

impl App for Door {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let lobby = dog.group::<Lobby>("lobby");
        if request.method() == Method::POST {
            let until = dog.now() + HOUR;
            let revocation = match (query_param(&request, "id"), query_param(&request, "client")) {
                (Some(id), _) => Revocation::token(id, until)?,
                (None, client) => Revocation::client(&ClientId::new(client.unwrap_or_default())?, until),
            };
            let missing = lobby.revoke(&revocation).await?;
            return Ok(text_response(StatusCode::OK, missing.to_string()));
        }
        let admitted = match room::gate(dog.env())?.admit(&request, dog.now()).await {
            Ok(admitted) => lobby.check_revoked(&admitted).await.map(|()| admitted),
            Err(denied) => Err(denied),
        };
        match admitted {
            Ok(admitted) => {
                if query_param(&request, "late").is_some() {
                    lobby.revoke(&Revocation::client(admitted.client(), dog.now() + HOUR)).await?;
                }
                Ok(lobby.identify(admitted.client()).await?.fetch_as(request, &admitted).await?)
            }
            Err(denied) => Ok(denied.refuse(&request, dog)),
        }
    }
}
