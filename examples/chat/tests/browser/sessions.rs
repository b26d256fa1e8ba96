//! Sessions that begin, are renewed and end under a page that is open.

use dog_test_support::browser::{Host, Look, Window, browse};
use dog_test_support::client::{http_with, next_second};
use serde_json::json;

use super::room::{Room, SECRET};
use super::{MESSAGES, PEOPLE, STATE, say};

dog_test_support::on_both_hosts!(
    who_logs_in_stays_logged_in,
    who_is_removed_is_told_and_comes_back_with_a_new_login,
    who_has_no_session_any_more_is_asked_for_a_name,
);

/// A script that returns whether the page asks for a name, and does not connect by itself. One that waits to reconnect does it at
/// once when its network is back.
const ASKS: &str = "(dispatchEvent(new Event('online')), !document.getElementById('join').hidden
    && document.getElementById('room').hidden && socket.state === 'closed')";

const PROBLEM: &str = "document.getElementById('problem').textContent";

async fn log_in(window: &Window, page: &str, name: &str) {
    window.goto(page).await;
    say(window, name).await;
    window.wait_for(STATE, &json!("connected")).await;
}

async fn who_logs_in_stays_logged_in(host: Host) {
    let mut room = Room::with_login(host).await;
    let page = format!("http://{}/", room.address());
    browse([Look::DESKTOP, Look::PHONE], async |[ann, bob]| {
        for (window, name) in [(ann, "ann"), (bob, "bob")] {
            // The name in the address is not obeyed: only the form logs in.
            window.goto(&format!("{page}?u=eve&topic=cats")).await;
            window.type_keys(name).await;
            window.press(&[Window::ENTER]).await;
            window.wait_for(STATE, &json!("connected")).await;
        }
        assert_eq!(ann.eval("document.cookie").await, "", "no script reads the session");
        ann.wait_for(PEOPLE, &json!([["ann", "bob"]])).await;
        // The session comes back with the page, and the name cannot be chosen any more.
        ann.goto(&format!("{page}?u=eve")).await;
        ann.wait_for(STATE, &json!("connected")).await;
        ann.wait_for(PEOPLE, &json!([["ann", "bob"]])).await;
        ann.type_keys("Still me.").await;
        ann.press(&[Window::ENTER]).await;
        bob.wait_for(MESSAGES, &json!([["all", "ann", "Still me."]])).await;

        // The page renews the session of a week when half of it is over, in milliseconds 302,400,000.
        ann.wait_for("renewAt > Date.now() + 300e6", &json!(true)).await;
        ann.eval("(keepSession(), true)").await;
        ann.wait_for("renewAt > Date.now() + 300e6", &json!(true)).await;
        assert_eq!(ann.eval("document.querySelectorAll('#log .error').length").await, 0);
        assert_eq!(ann.eval(STATE).await, "connected");

        // Who wants another name leaves the session.
        bob.goto(&page).await;
        bob.wait_for(STATE, &json!("connected")).await;
        bob.eval("document.getElementById('rename').click()").await;
        bob.wait_for("location.search === '' && document.getElementById('room').hidden", &json!(true)).await;
        say(bob, "anna").await;
        ann.wait_for(PEOPLE, &json!([["ann", "anna"]])).await;
    })
    .await;
    room.stop().await;
}

async fn who_is_removed_is_told_and_comes_back_with_a_new_login(host: Host) {
    let mut room = Room::with_login(host).await;
    let page = format!("http://{}/", room.address());
    browse([Look::DESKTOP, Look::PHONE], async |[ann, bob]| {
        log_in(ann, &page, "ann").await;
        log_in(bob, &page, "bob").await;
        say(ann, "/w bob Between us.").await;
        say(ann, "Before.").await;
        bob.wait_for(MESSAGES, &json!([["whisper", "ann", "Between us."], ["all", "ann", "Before."]])).await;

        let secret = format!("authorization: Bearer {SECRET}\r\n");
        assert_eq!(http_with(room.address(), "DELETE", "/users/bob", &secret, "").await.status, 200);
        bob.wait_for(PROBLEM, &json!("You were removed from the room. Log in to come back.")).await;
        assert_eq!(bob.eval(ASKS).await, json!(true));
        say(ann, "While he is away.").await;
        ann.wait_for(PEOPLE, &json!([["ann"]])).await;
        assert_eq!(bob.eval(ASKS).await, json!(true));
        bob.picture(&format!("chat-removed{}.png", host.suffix())).await;

        // The name is there, so one key is enough.
        next_second().await;
        bob.press(&[Window::ENTER]).await;
        bob.wait_for(STATE, &json!("connected")).await;
        let said =
            json!([["whisper", "ann", "Between us."], ["all", "ann", "Before."], ["all", "ann", "While he is away."]]);
        bob.wait_for(MESSAGES, &said).await;
        ann.wait_for(PEOPLE, &json!([["ann", "bob"]])).await;
        say(bob, "Here I am.").await;
        ann.wait_for(&format!("{MESSAGES}.at(-1)"), &json!(["all", "bob", "Here I am."])).await;

        // Who comes back as somebody else does not see what was whispered to him before.
        assert_eq!(http_with(room.address(), "DELETE", "/users/bob", &secret, "").await.status, 200);
        bob.wait_for(ASKS, &json!(true)).await;
        say(bob, "cid").await;
        let said =
            json!([["all", "ann", "Before."], ["all", "ann", "While he is away."], ["all", "bob", "Here I am."]]);
        bob.wait_for(MESSAGES, &said).await;
        ann.wait_for(PEOPLE, &json!([["ann", "cid"]])).await;
    })
    .await;
    room.stop().await;
}

/// The browser has lost the session, which the page learns when it comes back: by 4401.
async fn who_has_no_session_any_more_is_asked_for_a_name(host: Host) {
    let mut room = Room::with_login(host).await;
    let page = format!("http://{}/", room.address());
    browse([Look::DESKTOP], async |[ann]| {
        log_in(ann, &page, "ann").await;
        say(ann, "Before.").await;
        ann.wait_for(MESSAGES, &json!([["all", "You", "Before."]])).await;
        ann.eval("fetch('logout', { method: 'POST' }).then(() => { window.left = true })").await;
        ann.wait_for("window.left", &json!(true)).await;
        assert_eq!(ann.eval(STATE).await, "connected");
        room.stop().await;
        ann.wait_for(STATE, &json!("waiting")).await;
        room.start_again().await;
        ann.wait_for(PROBLEM, &json!("Your session has ended. Log in to come back.")).await;
        assert_eq!(ann.eval(ASKS).await, json!(true));
        ann.press(&[Window::ENTER]).await;
        ann.wait_for(STATE, &json!("connected")).await;
        ann.wait_for(PEOPLE, &json!([["ann"]])).await;
    })
    .await;
    room.stop().await;
}
