//! Sockets that open before their client is known, and are assigned later.

use dog::ClientId;
use dog::http::StatusCode;

use super::scenario::{Scenario, scenario};
use crate::app::ShortTimes;
use crate::app::protocol::{Act, Told, Whom, Why};
use crate::check::{Outcome, eventually, same};
use crate::client::Client;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("assigned_socket_counts_as_its_clients_from_then_on", &[6, 8], counts),
        scenario("assigned_socket_is_one_of_its_client_for_others", &[6], others),
        scenario("assigned_client_is_named_once", &[], once),
        scenario("unassigned_socket_closes_at_its_deadline", &[12], deadline),
        scenario("generated_client_ids_are_not_accepted_from_outside", &[15], forged),
    ]
}

/// Opens a socket of a client that is not known.
pub(super) async fn stranger(group: &TestGroup, until: &str) -> Outcome<Client> {
    let path = format!("{}&anonymous={until}", group.path("ws", "nobody"));
    Client::connect(group.entry(), &path, ClientId::new("nobody")?).await
}

pub(super) fn assign(client: &str) -> Outcome<Act> {
    Ok(Act::Assign { client: ClientId::new(client)? })
}

async fn name(client: &mut Client) -> Outcome<String> {
    match client.ask(Act::Client).await? {
        Told::Client { name } => Ok(name),
        other => Err(crate::check::ScenarioFailure::new(format!("expected a name, got {other:?}"))),
    }
}

/// When the call has ended, a whisper from any Replica reaches the socket, on the Replica where it was before.
async fn counts(stage: Stage) -> Outcome {
    let group = stage.spread("single", "counts");
    let mut speaker = group.join("speaker").await?;
    for (number, until) in ["assign", "keep", "assign"].into_iter().enumerate() {
        let client = format!("client{number}");
        let mut late = stranger(&group, until).await?;
        same(name(&mut late).await?, "?", "the client before the assignment")?;
        same(speaker.whisper(&client, "too early").await?, 0, "sockets of a client that is not known yet")?;
        late.obey(assign(&client)?).await?;
        same(speaker.whisper(&client, "psst").await?, 1, "sockets of the client that was assigned")?;
        same(late.hear().await?, "psst", "all that the socket hears")?;
        same(name(&mut late).await?, client.clone(), "the client after the assignment")?;
        same(late.report().await?.open.len(), 1, "sockets on the Replica")?;
        late.leave().await?;
        eventually("the client is missed", async || Ok(speaker.whisper(&client, "gone").await? == 0)).await?;
    }
    Ok(())
}

/// The client's other sockets leave it out, wherever they are, and it leaves them out.
async fn others(stage: Stage) -> Outcome {
    let group = stage.spread("single", "others");
    let [mut speaker, mut first] = group.join_each(["speaker", "client"]).await?;
    let mut late = stranger(&group, "assign").await?;
    first.obey(Act::Broadcast { text: "before".into(), to: Whom::Others }).await?;
    same(late.hear().await?, "before", "what a stranger hears")?;
    late.obey(assign("client")?).await?;
    first.obey(Act::Broadcast { text: "from first".into(), to: Whom::Others }).await?;
    late.obey(Act::Broadcast { text: "from late".into(), to: Whom::Others }).await?;
    // They come from two Replicas: nothing else says that they have arrived.
    let mut heard = [speaker.hear().await?, speaker.hear().await?, speaker.hear().await?];
    heard.sort_unstable();
    same(heard, ["before", "from first", "from late"].map(String::from), "what another client hears")?;
    same(speaker.confirmed("end", Whom::Everyone).await?, (3, vec![]), "whom a broadcast reaches")?;
    for client in [&mut first, &mut late] {
        same(client.hear_until("end").await?, [""; 0], "what the sockets of the client hear")?;
    }
    Ok(())
}

/// A second assignment is an error, and so is one of a socket whose client was identified. The socket stays.
async fn once(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "once");
    let assigned = Told::Refused { why: Why::Assigned };
    let mut late = stranger(&group, "keep").await?;
    late.obey(assign("client")?).await?;
    for again in ["client", "other"] {
        same(late.ask(assign(again)?).await?, assigned.clone(), "a second assignment")?;
    }
    let mut known = group.join("known").await?;
    same(known.ask(assign("other")?).await?, assigned, "the assignment of a client that is known")?;
    same(name(&mut late).await?, "client", "the client")?;
    same(name(&mut known).await?, "known", "the client")
}

/// One that is not assigned closes with the code of the Group. Others stay.
async fn deadline(stage: Stage) -> Outcome {
    let group = stage.pinned("brief", "deadline");
    let mut late = stranger(&group, "assign").await?;
    late.obey(assign("client")?).await?;
    let (mut never, mut kept) = (stranger(&group, "assign").await?, stranger(&group, "keep").await?);
    same(never.ended().await?.code, ShortTimes::UNASSIGNED, "the close code")?;
    same(name(&mut kept).await?, "?", "the client of a socket that nobody has to assign")?;
    same(name(&mut late).await?, "client", "the client of a socket that was assigned")?;
    same(kept.report().await?.open.len(), 2, "open sockets")
}

/// Neither as a name nor as an assignment.
async fn forged(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "forged");
    for forged in ["%00", "%00%3F", "%00%3F1-1", "%00%3D1-1"] {
        let response = group.request("GET", &group.path("identify", forged), "").await?;
        same(response.status(), StatusCode::BAD_REQUEST, &format!("the answer to {forged}"))?;
    }
    let mut late = stranger(&group, "keep").await?;
    let generated: ClientId = serde_json::from_str("\"\\u0000=1-1\"")?;
    let refused = late.ask(Act::Assign { client: generated }).await?;
    same(refused, Told::Refused { why: Why::InvalidClient }, "the assignment of a generated id")?;
    same(name(&mut late).await?, "?", "the client after that")
}
