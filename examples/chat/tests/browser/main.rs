//! The chat page in a real browser: three users in three windows, and what each of them sees, on both hosts.
//!
//! Run them with `cargo test -p chat --features browser --test browser`. They need Debian's packages `chromium` and
//! `chromium-driver`. That command ignores the tests on workerd. `cargo xtask test workers` builds the Worker and runs
//! those. Screenshots go to `target/artifacts`, or to the folder that `DOG_ARTIFACTS` names.

use dog_test_support::browser::{Host, Look, Window, browse};
use dog_test_support::client::http_with;
use network::Network;
use room::{Room, SECRET};
use serde_json::{Value, json};

mod network;
mod room;
mod sessions;

dog_test_support::on_both_hosts!(
    three_people_talk,
    the_page_comes_back_by_itself,
    nothing_is_missing_and_nobody_is_announced_twice,
    the_form_says_what_is_wrong_with_a_name,
    who_has_subscribed_reads_the_topic_until_the_removal,
);

/// A script that returns the messages in a window's log, as `[kind, from, text]`. The window's own messages are from
/// "You".
const MESSAGES: &str = "[...document.querySelectorAll('#log .message')].map((entry) =>
    [entry.dataset.kind, entry.querySelector('.from').textContent, entry.querySelector('.text').textContent])";

/// A script that returns the users of each Replica, the window's own Replica first.
const PEOPLE: &str = "[...document.querySelectorAll('#people [data-replica]')].map((replica) =>
    [...replica.querySelectorAll('[data-user]')].map((user) => user.dataset.user))";

const TRIP_SHOWN: &str = "/^[0-9.]+ ms round trip$/.test(document.getElementById('trip').textContent)";

const STATE: &str = "document.getElementById('status').dataset.state";

async fn three_people_talk(host: Host) {
    let mut room = Room::open(host).await;
    let page = format!("http://{}/", room.address());
    let looks = [Look::DESKTOP, Look::PHONE, Look::DARK];
    browse(looks, async |[ann, bob, cid]| {
        // Each user types a name into the form. The form has the focus when the page opens.
        for (window, name) in [(ann, "ann"), (bob, "bob"), (cid, "cid")] {
            window.goto(&page).await;
            window.type_keys(name).await;
            window.press(&[Window::ENTER]).await;
            window.wait_for(STATE, &json!("connected")).await;
        }
        // The limit is two, so cid is on another Replica.
        ann.wait_for(PEOPLE, &json!([["ann", "bob"], ["cid"]])).await;
        bob.wait_for(PEOPLE, &json!([["ann", "bob"], ["cid"]])).await;
        cid.wait_for(PEOPLE, &json!([["cid"], ["ann", "bob"]])).await;
        for window in [ann, bob, cid] {
            window.wait_for(TRIP_SHOWN, &json!(true)).await;
        }

        talk_by_keyboard(ann).await;
        cid.type_keys("/w ann Loud and clear.").await;
        cid.press(&[Window::ENTER]).await;
        ann.wait_for(&format!("{MESSAGES}.length"), &json!(5)).await;
        bob.type_keys("Tea is ready, next door too!").await;
        bob.press(&[Window::ENTER]).await;

        let (hello, secret, near, tea) = (
            "Good morning, everyone!",
            "Just the two of us here.",
            "Can you hear me over there?",
            "Tea is ready, next door too!",
        );
        let seen_by_ann = json!([
            ["all", "You", hello],
            ["group", "You", secret],
            ["whisper", "You", near],
            ["all", "You", "Who wants tea?"],
            ["whisper", "cid", "Loud and clear."],
            ["all", "bob", tea],
        ]);
        let seen_by_bob = json!([
            ["all", "ann", hello],
            ["group", "ann", secret],
            ["all", "ann", "Who wants tea?"],
            ["all", "You", tea]
        ]);
        let seen_by_cid = json!([
            ["all", "ann", hello],
            ["whisper", "ann", near],
            ["all", "ann", "Who wants tea?"],
            ["whisper", "You", "Loud and clear."],
            ["all", "bob", tea],
        ]);
        ann.wait_for(MESSAGES, &seen_by_ann).await;
        bob.wait_for(MESSAGES, &seen_by_bob).await;
        cid.wait_for(MESSAGES, &seen_by_cid).await;
        // Words, not only colours, show the kind of a message.
        let words = "[...document.querySelectorAll('#log .kind')].map((kind) => kind.textContent)";
        ann.wait_for(words, &json!(["to this Replica only", "whisper to cid", "whispers to you"])).await;

        fits_the_screen(bob).await;
        let brightness = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)
            .slice(0, 3).reduce((sum, part) => sum + Number(part), 0)";
        assert!(ann.eval(brightness).await.as_u64() > Some(600), "ann's page is light");
        assert!(cid.eval(brightness).await.as_u64() < Some(150), "cid's page is dark");

        // The first round trips were measured while the pages were loading, so they are measured again.
        for window in [ann, bob, cid] {
            window.eval("(document.getElementById('trip').textContent = '', socket.ping())").await;
            window.wait_for(TRIP_SHOWN, &json!(true)).await;
        }
        for (window, look) in [(ann, ""), (bob, "-phone"), (cid, "-dark")] {
            window.picture(&format!("chat{look}{}.png", host.suffix())).await;
        }

        // Messages of other users are shown as text, not as HTML.
        bob.type_keys("<img src=x onerror=alert(1)>").await;
        bob.press(&[Window::ENTER]).await;
        ann.wait_for("document.querySelector('#log').lastChild.innerText.includes('<img src=x')", &json!(true)).await;
        assert_eq!(ann.eval("document.images.length").await, 0);

        // A user who leaves the page leaves the room, and is back when the page is.
        cid.goto("about:blank").await;
        ann.wait_for(PEOPLE, &json!([["ann", "bob"]])).await;
        cid.back().await;
        ann.wait_for(PEOPLE, &json!([["ann", "bob"], ["cid"]])).await;
    })
    .await;
    room.stop().await;
}

/// Sends four messages without a mouse: to all, to the Replica, a whisper to cid, and to all again.
async fn talk_by_keyboard(ann: &Window) {
    let focused = "document.activeElement.id || document.activeElement.value";
    assert_eq!(ann.eval(focused).await, "text");
    assert_ne!(ann.eval("getComputedStyle(document.activeElement).outlineStyle").await, "none");
    ann.type_keys("Good morning, everyone!").await;
    ann.press(&[Window::ENTER]).await;

    ann.press(&[Window::SHIFT, Window::TAB]).await;
    assert_eq!(ann.eval(focused).await, "all");
    ann.press(&[Window::RIGHT]).await;
    ann.press(&[Window::TAB]).await;
    assert_eq!(ann.eval(focused).await, "text");
    ann.type_keys("Just the two of us here.").await;
    ann.press(&[Window::ENTER]).await;

    ann.press(&[Window::SHIFT, Window::TAB]).await;
    ann.press(&[Window::RIGHT]).await;
    assert_eq!(ann.eval(focused).await, "whisper");
    ann.press(&[Window::TAB]).await;
    assert_eq!(ann.eval(focused).await, "target");
    ann.type_keys("cid").await;
    ann.press(&[Window::TAB]).await;
    ann.type_keys("Can you hear me over there?").await;
    ann.press(&[Window::ENTER]).await;

    // A typed command takes precedence over the chosen recipient.
    ann.type_keys("/a Who wants tea?").await;
    ann.press(&[Window::ENTER]).await;
    ann.wait_for(&format!("{MESSAGES}.length"), &json!(4)).await;
}

/// Asserts that nothing is cut off or needs horizontal scrolling, with the list of people closed and open.
async fn fits_the_screen(window: &Window) {
    let overflow = "document.documentElement.scrollWidth > innerWidth
        || document.documentElement.scrollHeight > innerHeight
        || [...document.querySelectorAll('#room *')].some((part) => part.getBoundingClientRect().right > innerWidth + 1)";
    assert_eq!(window.eval("[innerWidth, innerHeight]").await, json!([360, 640]));
    for open in [false, true] {
        window.eval(&format!("document.getElementById('online').open = {open}")).await;
        assert_eq!(window.eval(overflow).await, false, "people shown: {open}");
    }
    window.eval("document.getElementById('online').open = false").await;
}

async fn the_page_comes_back_by_itself(host: Host) {
    let mut room = Room::open(host).await;
    let address = room.address();
    browse([Look::DESKTOP], async |[ann]| {
        // With a name in its address, the page joins at once.
        ann.goto(&format!("http://{address}/?u=ann")).await;
        ann.wait_for(STATE, &json!("connected")).await;
        room.stop().await;
        ann.wait_for(STATE, &json!("waiting")).await;
        let counting = "/^in [0-9]+ s$/.test(document.getElementById('wait').textContent)
            && document.getElementById('state').textContent === 'Connection lost: reconnecting'";
        ann.wait_for(counting, &json!(true)).await;
        // Text that is typed meanwhile is not lost.
        ann.type_keys("kept").await;
        ann.press(&[Window::ENTER]).await;
        ann.wait_for("document.querySelectorAll('#log .error').length", &json!(1)).await;
        assert_eq!(ann.eval("document.getElementById('text').value").await, "kept");

        room.start_again().await;
        ann.wait_for(STATE, &json!("connected")).await;
        ann.wait_for(PEOPLE, &json!([["ann"]])).await;
        ann.press(&[Window::ENTER]).await;
        ann.wait_for(MESSAGES, &json!([["all", "You", "kept"]])).await;
        room.stop().await;
    })
    .await;
}

/// A script that returns what a window has noted of those who come and go.
const ANNOUNCED: &str =
    "[...document.querySelectorAll('#log .event')].map((entry) => entry.textContent.split(' · ')[0])
    .filter((text) => text.endsWith(' joined') || text.endsWith(' left'))";

/// A script that returns the texts of the messages.
const TEXTS: &str = "[...document.querySelectorAll('#log .message .text')].map((text) => text.textContent)";

async fn say(window: &Window, text: &str) {
    window.type_keys(text).await;
    window.press(&[Window::ENTER]).await;
}

/// A window is loaded again, its network is cut for ten seconds, and the server is killed.
async fn nothing_is_missing_and_nobody_is_announced_twice(host: Host) {
    let mut room = Room::stored(host).await;
    let network = Network::to(room.address()).await;
    let (near, far) = (format!("http://{}/?u=bob", room.address()), format!("http://{}/?u=ann", network.address()));
    browse([Look::DESKTOP, Look::PHONE], async |[ann, bob]| {
        bob.goto(&near).await;
        bob.wait_for(STATE, &json!("connected")).await;
        bob.wait_for(ANNOUNCED, &json!(["You joined"])).await;
        ann.goto(&far).await;
        ann.wait_for(STATE, &json!("connected")).await;
        bob.wait_for(ANNOUNCED, &json!(["You joined", "ann joined"])).await;
        say(ann, "one").await;
        say(bob, "two").await;
        ann.wait_for(TEXTS, &json!(["one", "two"])).await;

        ann.goto(&far).await;
        ann.wait_for(STATE, &json!("connected")).await;
        ann.wait_for(TEXTS, &json!(["one", "two"])).await;
        say(ann, "three").await;
        bob.wait_for(TEXTS, &json!(["one", "two", "three"])).await;

        network.cut();
        ann.wait_for(STATE, &json!("waiting")).await;
        bob.wait_for(ANNOUNCED, &json!(["You joined", "ann joined", "ann left"])).await;
        say(bob, "four").await;
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        network.heal();
        ann.wait_for(STATE, &json!("connected")).await;
        ann.wait_for(TEXTS, &json!(["one", "two", "three", "four"])).await;
        let announced = json!(["You joined", "ann joined", "ann left", "ann joined"]);
        bob.wait_for(ANNOUNCED, &announced).await;
        say(bob, "five").await;
        ann.wait_for(TEXTS, &json!(["one", "two", "three", "four", "five"])).await;
        let seen_by_ann = ann.eval(ANNOUNCED).await;

        room.stop().await;
        for window in [ann, bob] {
            window.wait_for(STATE, &json!("waiting")).await;
        }
        room.start_again().await;
        for window in [ann, bob] {
            window.wait_for(STATE, &json!("connected")).await;
        }
        say(ann, "six").await;
        for window in [ann, bob] {
            window.wait_for(TEXTS, &json!(["one", "two", "three", "four", "five", "six"])).await;
        }
        ann.wait_for(PEOPLE, &json!([["ann", "bob"]])).await;
        assert_eq!((ann.eval(ANNOUNCED).await, bob.eval(ANNOUNCED).await), (seen_by_ann, announced));
    })
    .await;
    room.stop().await;
}

async fn who_has_subscribed_reads_the_topic_until_the_removal(host: Host) {
    let mut room = Room::open(host).await;
    let address = room.address();
    browse([Look::DESKTOP, Look::PHONE], async |[ann, bob]| {
        for (window, query) in [(ann, "?u=ann"), (bob, "?u=bob&topic=cats&topic=k%C3%BChe")] {
            window.goto(&format!("http://{address}/{query}")).await;
            window.wait_for(STATE, &json!("connected")).await;
        }
        bob.wait_for(PEOPLE, &json!([["ann", "bob"]])).await;
        for text in ["/t cats They sleep all day.", "/t dogs They never sleep.", "Who is awake?"] {
            ann.type_keys(text).await;
            ann.press(&[Window::ENTER]).await;
        }
        let aloud = "Who is awake?";
        bob.wait_for(MESSAGES, &json!([["topic", "ann", "They sleep all day."], ["all", "ann", aloud]])).await;
        assert_eq!(bob.eval("document.querySelector('#log .kind').textContent").await, "about cats");
        ann.wait_for(MESSAGES, &json!([["all", "You", aloud]])).await;
        fits_the_screen(bob).await;

        let secret = format!("authorization: Bearer {SECRET}\r\n");
        assert_eq!(http_with(address, "DELETE", "/users/bob", &secret, "").await.status, 200);
        bob.wait_for(STATE, &json!("closed")).await;
        let told = "document.getElementById('state').textContent";
        assert_eq!(bob.eval(told).await, "You were removed from the room. (4003: removed)");
        // A page that waits to reconnect does it at once when its network is back. This one does not wait.
        bob.eval("dispatchEvent(new Event('online'))").await;
        assert_eq!(bob.eval(STATE).await, "closed");
        ann.wait_for(PEOPLE, &json!([["ann"]])).await;
        assert_eq!(http_with(address, "DELETE", "/users/bob", &secret, "").await.status, 404);
    })
    .await;
    room.stop().await;
}

/// Runs only on the native host: the message limit of the other host is megabytes and cannot be set.
#[tokio::test]
async fn a_final_close_is_not_tried_again() {
    let mut room = Room::open(Host::Native).await;
    browse([Look::PHONE], async |[ann]| {
        ann.goto(&format!("http://{}/?u=ann", room.address())).await;
        ann.wait_for(STATE, &json!("connected")).await;
        // This message exceeds the server's limit, so the server closes with 1009.
        ann.eval("socket.send('x'.repeat(10000))").await;
        ann.wait_for(STATE, &json!("closed")).await;
        let text = ann.eval("document.getElementById('state').textContent").await;
        assert!(text.as_str().is_some_and(|text| text.contains("too big") && text.contains("1009")), "{text}");
        fits_the_screen(ann).await;
        // The page does not reconnect by itself. A button does it.
        ann.eval("document.getElementById('retry').click()").await;
        ann.wait_for(STATE, &json!("connected")).await;
    })
    .await;
    room.stop().await;
}

async fn the_form_says_what_is_wrong_with_a_name(host: Host) {
    let mut room = Room::open(host).await;
    browse([Look::PHONE], async |[window]| {
        window.goto(&format!("http://{}/", room.address())).await;
        window.press(&[Window::ENTER]).await;
        let problem = "document.getElementById('problem').textContent";
        window.wait_for(problem, &json!("Please type a name first.")).await;
        assert_eq!(window.eval("document.documentElement.scrollWidth").await, 360);
        window.eval("document.getElementById('name').value = 'x'.repeat(257)").await;
        window.press(&[Window::ENTER]).await;
        window.wait_for(problem, &json!("That is too long: 256 bytes at most.")).await;
        window.eval("document.getElementById('name').value = ''").await;
        // A space would end the name in `/w NAME TEXT`.
        window.type_keys(" Ann of Green Gables ").await;
        window.press(&[Window::ENTER]).await;
        window.wait_for(PEOPLE, &json!([["Ann-of-Green-Gables"]])).await;
        assert_eq!(window.eval("location.search").await, Value::from("?u=Ann-of-Green-Gables"));
    })
    .await;
    room.stop().await;
}
