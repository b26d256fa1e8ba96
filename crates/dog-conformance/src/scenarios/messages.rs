//! Messages: text and binary of any size, whole or in fragments; pings.

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{AUTO_RESPONSE, Act};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("messages_of_all_sizes_arrive", &[], sizes),
        scenario("messages_in_fragments_arrive_whole", &[], fragments),
        scenario("message_over_the_limit_closes_with_1009", &[12], over_the_limit).needing(&[Capability::Frames]),
        scenario("ping_is_answered_with_pong", &[], pings),
        scenario("auto_response_reaches_no_handler", &[13], auto_response),
    ]
}

/// Sends a message that is not a command. It comes back unchanged.
async fn echoes(client: &mut Client, message: Message) -> Outcome {
    client.send(message.clone()).await?;
    let back = client.hear_message().await?;
    ensure(back == message, format!("{} bytes came back as {} others", message.len(), back.len()))
}

/// The lengths at which the header of a frame changes, and a million bytes, as text and as binary.
async fn sizes(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "sizes").join("client").await?;
    for length in [0, 1, 2, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537, 1_000_000] {
        let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
        echoes(&mut client, Message::binary(bytes)).await?;
        echoes(&mut client, Message::text("x".repeat(length))).await?;
    }
    echoes(&mut client, Message::text("grüße \u{0} \u{1f415} \u{10ffff}")).await
}

fn fragment(kind: Data, bytes: &[u8], last: bool) -> Frame {
    Frame::message(bytes.to_vec(), OpCode::Data(kind), last)
}

/// A message in fragments: one of them empty, one cut within a character, a ping in between.
async fn fragments(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "fragments").join("client").await?;
    let text = "gr\u{fc}\u{df}e";
    let bytes = text.as_bytes();
    client.send_frame(fragment(Data::Text, &bytes[..3], false)).await?;
    client.send_frame(fragment(Data::Continue, &[], false)).await?;
    client.send(Message::Ping("between".into())).await?;
    client.send_frame(fragment(Data::Continue, &bytes[3..4], false)).await?;
    client.send_frame(fragment(Data::Continue, &bytes[4..], true)).await?;
    same(client.hear_message().await?, Message::Pong("between".into()), "what comes first")?;
    same(client.hear_message().await?, Message::text(text), "the message")?;

    let mut whole = Vec::new();
    for number in 0..200_u8 {
        let piece = vec![number; 100];
        let kind = if number == 0 { Data::Binary } else { Data::Continue };
        client.send_frame(fragment(kind, &piece, number == 199)).await?;
        whole.extend(piece);
    }
    same(client.hear_message().await?, Message::binary(whole), "a message in two hundred pieces")
}

/// One byte more than the limit, in one frame and in two. A message of exactly the limit is accepted.
async fn over_the_limit(stage: Stage) -> Outcome {
    let limit = stage.message_limit();
    let group = stage.pinned("hall", "limit");
    let mut other = group.join("other").await?;

    let mut client = group.join("exact").await?;
    let command = client.tell_padded(Act::Sockets, limit).await?;
    client.reply(command).await?;

    let mut client = group.join("whole").await?;
    // The header is enough for the server to know the length.
    let mut header = vec![0x82, 0xff];
    header.extend((limit as u64 + 1).to_be_bytes());
    header.extend([0; 4]);
    client.write(&header).await?;
    same(client.ended().await?.code, 1009, "how a socket ends that sends too much")?;
    let end = other.report_after(client.id()).await?.of(client.id()).pop();
    ensure(format!("{end:?}").contains("TooBig"), format!("the Replica heard {end:?}"))?;

    let mut client = group.join("pieces").await?;
    client.send_frame(fragment(Data::Binary, &vec![1; limit], false)).await?;
    client.send_frame(fragment(Data::Continue, &[1], true)).await?;
    same(client.ended().await?.code, 1009, "how a socket ends that sends too much in pieces")
}

/// The pong contains the bytes of the ping.
async fn pings(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "pings").join("client").await?;
    for payload in [vec![], vec![7], (0..125).collect::<Vec<u8>>()] {
        client.send(Message::Ping(payload.clone().into())).await?;
        same(client.hear_message().await?, Message::Pong(payload.into()), "the answer to a ping")?;
    }
    client.send(Message::Pong("unasked".into())).await?;
    client.report().await.map(|_| ())
}

/// The host answers one text by itself. A longer text or a binary message goes to the handler, which sends it back.
async fn auto_response(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "auto").join("client").await?;
    let request = AUTO_RESPONSE.request();
    for text in [request, request] {
        client.send(Message::text(text)).await?;
        same(client.hear().await?, AUTO_RESPONSE.response(), "the answer")?;
    }
    echoes(&mut client, Message::text(format!("{request} "))).await?;
    echoes(&mut client, Message::binary(request)).await
}
