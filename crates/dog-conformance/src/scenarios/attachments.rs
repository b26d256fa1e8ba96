//! Attachments: typed, bounded, and separate for each socket.

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Attached, Told, Why};
use crate::check::{Outcome, same};
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("attachment_is_typed_and_of_its_socket", &[], typed),
        scenario("attachment_of_the_request_is_there_when_the_socket_opens", &[13], begun_with),
        scenario("attachment_is_updated_in_one_step", &[12], updated),
        scenario("attachment_over_16_kib_is_refused", &[12], bounded),
    ]
}

/// Two sockets of one client on one Replica have separate attachments.
async fn typed(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "typed");
    let [mut first, mut second] = group.join_each(["client", "client"]).await?;
    same(first.ask(Act::Attachment).await?, Told::Attachment { value: None }, "before anything is attached")?;
    let value = Attached { name: "größe".into(), visits: u64::MAX, tags: vec![None, Some("x".into())] };
    first.obey(Act::Attach { value: value.clone() }).await?;
    second.obey(Act::Attach { value: Attached::default() }).await?;
    same(first.ask(Act::Attachment).await?, Told::Attachment { value: Some(value) }, "what was attached")?;
    let other = Told::Attachment { value: Some(Attached::default()) };
    same(second.ask(Act::Attachment).await?, other, "what was attached to the other socket")?;
    same(first.ask(Act::MisreadAttachment).await?, Told::Refused { why: Why::Encoding }, "read as another type")
}

/// `on_open` and later handlers find it. A socket that was given none has none.
async fn begun_with(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "begun-with");
    let [mut tagged, mut plain] = group.join_each(["tagged-client", "client"]).await?;
    let tag = Attached { name: "tagged-client".into(), ..Attached::default() };
    same(tagged.ask(Act::Attachment).await?, Told::Attachment { value: Some(tag) }, "what the request said")?;
    same(plain.ask(Act::Attachment).await?, Told::Attachment { value: None }, "of a request that said nothing")
}

/// An update begins with the default, and one that is refused changes nothing.
async fn updated(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "updated");
    let [mut first, mut second] = group.join_each(["client", "client"]).await?;
    for value in 1..=3 {
        same(first.ask(Act::CountVisit).await?, Told::Field { value }, "how many visits are counted")?;
    }
    same(second.ask(Act::CountVisit).await?, Told::Field { value: 1 }, "how many are counted of the other socket")?;
    let refused = first.ask(Act::UpdateName { length: dog::MAX_ATTACHMENT }).await?;
    same(refused, Told::Refused { why: Why::TooLarge }, "an update that is too large")?;
    first.obey(Act::UpdateName { length: 1 }).await?;
    let value = Some(Attached { name: "x".into(), visits: 3, tags: vec![] });
    same(first.ask(Act::Attachment).await?, Told::Attachment { value }, "what is attached in the end")?;
    first.obey(Act::AttachBytes { length: 5 }).await?;
    same(first.ask(Act::CountVisit).await?, Told::Refused { why: Why::Encoding }, "an update of another type")
}

/// The largest attachment is accepted. One byte more is an error, and the earlier attachment stays.
async fn bounded(stage: Stage) -> Outcome {
    // MessagePack puts three bytes before a string of this length.
    const LARGEST: usize = dog::MAX_ATTACHMENT - 3;
    let mut client = stage.pinned("hall", "bounded").join("client").await?;
    client.obey(Act::AttachBytes { length: LARGEST }).await?;
    client.obey(Act::Attach { value: Attached::default() }).await?;
    let refused = client.ask(Act::AttachBytes { length: LARGEST + 1 }).await?;
    same(refused, Told::Refused { why: Why::TooLarge }, "one byte too many")?;
    let kept = Told::Attachment { value: Some(Attached::default()) };
    same(client.ask(Act::Attachment).await?, kept, "what is attached after that")
}
