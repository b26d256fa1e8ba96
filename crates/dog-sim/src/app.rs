//! The App of the simulated runs: it finds a Group and a Replica for each request.

use dog::{App, ClientId, Dog, Request, Response, Result};
use http::StatusCode;

use crate::calls;
use crate::event_streams;
use crate::group_verbs;
use crate::late_identity;
use crate::objects::Hall;
use crate::presence;
use crate::publications;
use crate::witness::Witness;

pub(crate) struct Market {
    witness: Witness,
}

impl Market {
    pub(crate) fn new(witness: Witness) -> Self {
        Self { witness }
    }
}

impl App for Market {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let group = dog.group::<Hall>(&dog::query_param(&request, "g").unwrap_or_default());
        if request.uri().path() == "/group" {
            return Ok(group.fetch(request).await?);
        }
        match request.uri().path() {
            "/verb" => return group_verbs::perform(&self.witness, &group, &request).await,
            "/presence" => return presence::perform(&self.witness, &group, &request).await,
            "/publish" => return publications::perform(&self.witness, &group, &request).await,
            "/call" => {
                calls::call(&self.witness, async |order| group.call(&order).await).await;
                return Ok(dog::text_response(StatusCode::OK, "called"));
            }
            _ => {}
        }
        if request.uri().path() == "/say" {
            return event_streams::say(&self.witness, &group, &request).await;
        }
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        let anonymous = dog::query_param(&request, "anonymous");
        let desk = late_identity::identify(&group, &client, anonymous.as_deref()).await?;
        if request.uri().path() == "/drop" {
            return Ok(dog::text_response(StatusCode::NO_CONTENT, ""));
        }
        match request.uri().path() {
            // The Group may end while the client has its ticket.
            "/held" => calls::call(&self.witness, async |order| group.call(&order).await).await,
            "/gate" => self.witness.gate().wait().await,
            _ => {}
        }
        Ok(desk.fetch(request).await?)
    }
}
