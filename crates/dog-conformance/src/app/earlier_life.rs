//! What an earlier life of an object can still do: nothing. A life keeps its context and a socket here, as a task of the user
//! would, and a later life calls everything on them.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;

use dog::{CloseCode, Context, List, Socket, Timestamp, To};

use super::class::TestClass;
use super::protocol::{Ask, Told, Why};
use super::room::Room;

thread_local! {
    // All lives of an object run on one thread of one process.
    static KEPT: RefCell<HashMap<String, Box<dyn Any>>> = RefCell::default();
}

/// Keeps the context and a socket of this life under `name`.
pub(super) fn keep_it<C: TestClass>(name: String, cx: &Context<Room<C>>, socket: &Socket) {
    KEPT.with_borrow_mut(|kept| kept.insert(name, Box::new((cx.clone(), socket.clone()))));
}

fn find<C: TestClass>(name: &str) -> Option<(Context<Room<C>>, Socket)> {
    KEPT.with_borrow(|kept| kept.get(name)?.downcast_ref::<(Context<Room<C>>, Socket)>().cloned())
}

/// Calls everything that can be called on what an earlier life has kept under `name`.
pub(super) async fn use_it<C: TestClass>(name: &str) -> Result<Told, dog::Error> {
    let Some((cx, socket)) = find::<C>(name) else {
        return Ok(Told::UsedEarlierLife { outcomes: Vec::new(), sockets: 0 });
    };
    let mut outcomes = Vec::new();
    let mut note = |verb: &str, outcome: Result<(), dog::Error>| {
        outcomes.push((verb.to_owned(), outcome.err().as_ref().map(Why::from)));
    };
    let text = "from an earlier life";
    note("emit", cx.emit(text));
    note("broadcast", cx.broadcast(text));
    note("close_to_newcomers", cx.close_to_newcomers());
    note("broadcast_confirmed", cx.broadcast_confirmed(text).await.map(drop));
    note("whisper", cx.whisper(socket.client(), text).await.map(drop));
    note("gossip", cx.gossip(&Ask::Report).await.map(drop));
    note("spawn", cx.spawn(async { panic!("a task of an earlier life") }).map(|task: dog::Task<()>| drop(task)));
    note("set_alarm", cx.set_alarm("a", Timestamp::from_millis(u64::MAX / 4), &()).await);
    note("delete_alarm", cx.delete_alarm("a").await);
    note("alarm", cx.alarm("a").await.map(drop));
    note("alarms", cx.alarms(&List::all()).await.map(drop));
    let storage = cx.storage();
    note("storage get", storage.get::<u64>("earlier").await.map(drop));
    note("storage put", storage.put("earlier", &1).await);
    note("storage delete", storage.delete("earlier").await);
    note("storage list", storage.list::<u64>(&List::prefix("earlier")).await.map(drop));
    let transaction = storage.transaction(async |transaction| Ok(transaction.put("earlier", &2)?)).await;
    let transaction = transaction.map_err(|failure| dog::Error::new(kind(&failure), failure.to_string()));
    note("transaction", transaction);
    note("storage delete_all", storage.delete_all().await);
    note("send", socket.send(text));
    note("socket emit", socket.emit(text, To::Everyone));
    note("socket broadcast", socket.broadcast(text, To::Everyone));
    note("socket broadcast_confirmed", socket.broadcast_confirmed(text, To::Everyone).await.map(drop));
    note("socket whisper", socket.whisper(socket.client(), text).await.map(drop));
    note("attachment", socket.attachment::<u64>().map(drop));
    note("set_attachment", socket.set_attachment(&1));
    note("update_attachment", socket.update_attachment(|visits: &mut u64| *visits += 1));
    note("state", socket.state::<u64>().map(drop));
    for (verb, outcome) in super::topics::all(&cx, &socket, text).await {
        note(verb, outcome);
    }
    // These return no error: they do nothing.
    socket.close(CloseCode::POLICY, text);
    Ok(Told::UsedEarlierLife { outcomes, sockets: cx.sockets().count() })
}

fn kind(failure: &dog::Failure) -> dog::internal::Kind {
    failure.downcast_ref::<dog::Error>().map_or(dog::internal::Kind::Handler, dog::Error::kind)
}
