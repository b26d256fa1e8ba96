//! What the compiler says about mistakes that beginners make. Each message has to say what to do. Where rustc says it well,
//! its words are asserted; where it did not, a type or a trait of `dog` makes it say more.
//!
//! `right.rs` is a program without mistakes. Each test case changes a few words of it and compiles the result with the
//! libraries that cargo has built for this test. Only words of the hint are asserted, because the rest of a message changes
//! from one compiler to the next.

#[allow(dead_code, unreachable_pub, reason = "the program is compiled as a library, and not run")]
mod right;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use Stage::{Build, Check, Clippy};

const RIGHT: &str = include_str!("right.rs");

/// What has to be run to see the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `cargo check`
    Check,
    /// `cargo build`: what is checked when generic code is used.
    Build,
    /// `cargo clippy`
    Clippy,
}

struct Mistake {
    name: &'static str,
    right: &'static str,
    wrong: &'static str,
    stage: Stage,
    words: &'static [&'static str],
}

const fn mistake(
    name: &'static str,
    stage: Stage,
    right: &'static str,
    wrong: &'static str,
    words: &'static [&'static str],
) -> Mistake {
    Mistake { name, right, wrong, stage, words }
}

const MISTAKES: &[Mistake] = &[
    mistake(
        "a_struct_passed_to_broadcast",
        Check,
        "socket.broadcast(Message::json(&said)?, To::Others)?;",
        "socket.broadcast(said, To::Others)?;",
        &["`Said` is no message", "a value that clients read as JSON: `Message::json(&value)?`"],
    ),
    mistake(
        "a_group_in_parentheses_without_a_comma",
        Check,
        "type Groups = (Lobby, Hall);",
        "type Groups = (Lobby);",
        &["`Lobby` is no tuple of Groups", "a tuple of one has a comma: `type Groups = (Lobby,);`"],
    ),
    mistake(
        "a_slice_of_bytes_as_a_message",
        Check,
        "socket.send(Message::binary(bytes))?;",
        "socket.send(bytes)?;",
        &["`&[u8]` is no message", "bytes: `Message::binary(bytes)`"],
    ),
    mistake(
        "a_text_as_an_error",
        Check,
        r#"Err(Failure::new("no name"))"#,
        r#"Err("no name")"#,
        &["expected `Failure`, found `&str`", r#"Err("no name".into())"#],
    ),
    mistake(
        "a_match_on_the_name_of_an_error",
        Check,
        "Err(error) if error.is_no_room() =>",
        "Err(Error::NoRoom) =>",
        &["expected `Error`, found `ErrorsAreToldApartWithMethodsLikeIsNoRoom`"],
    ),
    mistake(
        "a_group_missing_from_groups",
        Build,
        "type Groups = (Lobby, Hall);",
        "type Groups = (Lobby,);",
        &["a Group is used that App::Groups does not contain: add its type to the tuple", "group_by_id::<Hall>"],
    ),
    mistake(
        "two_groups_of_one_name",
        Build,
        r#"const NAME: &'static str = "hall";"#,
        r#"const NAME: &'static str = "lobby";"#,
        &["two Groups of App::Groups have the same Group::NAME", "give each its own"],
    ),
    mistake(
        "an_app_that_is_not_sync",
        Check,
        "pub visits: AtomicU32,",
        "pub visits: std::cell::Cell<u32>,",
        &[
            "`Cell<u32>` cannot be shared between threads safely",
            "use `std::sync::RwLock` or `std::sync::atomic::AtomicU32`",
        ],
    ),
    mistake(
        "an_rc_in_env",
        Check,
        r#"Arc::new("settings")"#,
        r#"std::rc::Rc::new("settings")"#,
        &["`Rc<&str>` cannot be shared between threads safely", "required by a bound in `Env::with`"],
    ),
    mistake(
        "a_missing_derive_on_gossip",
        Check,
        "#[derive(Serialize, Deserialize)]\npub enum Ask",
        "pub enum Ask",
        &["consider adding `#[derive(serde::Serialize)]` to your `Ask` type", "`#[derive(serde::Deserialize)]`"],
    ),
    mistake(
        "a_missing_derive_on_a_call",
        Check,
        "#[derive(Serialize, Deserialize)]\npub struct Post",
        "#[derive(Serialize)]\npub struct Post",
        &["consider adding `#[derive(serde::Deserialize)]` to your `Post` type"],
    ),
    mistake(
        "a_missing_derive_on_an_identity",
        Check,
        "#[derive(Serialize)]\npub struct User",
        "pub struct User",
        &["consider adding `#[derive(serde::Serialize)]` to your `User` type"],
    ),
    mistake(
        "tokio_spawn_with_a_context",
        Check,
        r#"cx.spawn(async move { speaker.broadcast(format!("{client} is here")) })?;"#,
        r#"tokio::spawn(async move { speaker.broadcast(format!("{client} is here")) });"#,
        &["future cannot be sent between threads safely", "has type `dog::Context<Room>` which is not `Send`"],
    ),
    mistake(
        "a_verb_without_await",
        Check,
        r#"cx.broadcast_confirmed("said").await?;"#,
        r#"cx.broadcast_confirmed("said");"#,
        &["futures do nothing unless you `.await` or poll them"],
    ),
    mistake(
        "a_verb_without_await_and_with_a_question_mark",
        Check,
        r#"cx.broadcast_confirmed("said").await?;"#,
        r#"cx.broadcast_confirmed("said")?;"#,
        &["consider `await`ing on the `Future`"],
    ),
    mistake(
        "a_missing_to",
        Check,
        "socket.emit(message, To::Everyone)",
        "socket.emit(message)",
        &["argument #2 of type `To` is missing"],
    ),
    mistake(
        "a_forgotten_ok",
        Check,
        "Ok(socket.emit(message, To::Everyone)?)",
        "socket.emit(message, To::Everyone)",
        &[
            "expected `Result<(), Failure>`, found `Result<(), Error>`",
            "use `?` to coerce",
            "wrap the resulting value in `Ok`",
        ],
    ),
    mistake(
        "fetch_twice_on_one_handle",
        Check,
        "        Ok(replica.fetch_as(",
        "        replica.fetch(Request::default()).await?;\n        Ok(replica.fetch_as(",
        &["use of moved value: `replica`", "has type `ReplicaHandle<Room>`, which does not implement the `Copy` trait"],
    ),
    mistake(
        "a_capture_moved_in_a_transaction",
        Check,
        "Ok(text.clone())",
        "Ok(text)",
        &["cannot move out of `text`, a captured variable", "consider cloning the value"],
    ),
    mistake(
        "a_borrow_held_across_await",
        Clippy,
        "let Some(first) = self.seen.borrow().first().cloned() else { return Ok(()) };",
        "let seen = self.seen.borrow();\n        let Some(first) = seen.first() else { return Ok(()) };",
        &[
            "this `RefCell` reference is held across an await point",
            "ensure the reference is dropped before calling `await`",
        ],
    ),
];

/// The libraries that the program uses, as cargo has built them.
struct Libraries {
    paths: BTreeMap<String, PathBuf>,
    folder: PathBuf,
}

impl Libraries {
    /// Asks cargo, with the features of the test command: then everything is built already.
    fn find() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a folder in `crates`");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root).args(["test", "--workspace", "--features", "chat/browser", "--test", "hints"]);
        let built = cargo.args(["--no-run", "--message-format", "json"]).output().expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let mut paths = BTreeMap::new();
        for line in String::from_utf8_lossy(&built.stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(line).expect("cargo writes JSON");
            let files = message["filenames"].as_array().into_iter().flatten().filter_map(|file| file.as_str());
            if let (Some(name), Some(file)) =
                (message["target"]["name"].as_str(), files.into_iter().find(|file| file.ends_with(".rlib")))
            {
                paths.insert(name.to_owned(), PathBuf::from(file));
            }
        }
        let test = std::env::current_exe().expect("a file");
        Self { paths, folder: test.parent().expect("a folder").to_owned() }
    }

    /// What the compiler says about a program.
    fn compile(&self, name: &str, program: &str, stage: Stage) -> String {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hints");
        fs::create_dir_all(&scratch).expect("a folder");
        let file = scratch.join(format!("{name}.rs"));
        fs::write(&file, program).expect("a file");
        let mut compiler = Command::new(if stage == Clippy { "clippy-driver" } else { "rustc" });
        compiler.args(["--edition", "2024", "--crate-type", "lib", "--crate-name", name, "--color", "never"]);
        compiler.arg("--emit").arg(if stage == Build { "obj" } else { "metadata" });
        compiler.arg("--out-dir").arg(&scratch).arg("-L").arg(format!("dependency={}", self.folder.display()));
        for library in ["dog", "dog_native", "serde", "tokio"] {
            let path = self.paths.get(library).unwrap_or_else(|| panic!("cargo has not built {library}"));
            compiler.arg("--extern").arg(format!("{library}={}", path.display()));
        }
        let said = compiler.arg(&file).output().expect("the compiler runs");
        String::from_utf8_lossy(&said.stderr).into_owned()
    }
}

impl Mistake {
    /// The words that the compiler does not say.
    fn unsaid(&self, libraries: &Libraries) -> Option<String> {
        assert_eq!(RIGHT.matches(self.right).count(), 1, "{}: {:?} must be there once", self.name, self.right);
        let said = libraries.compile(self.name, &RIGHT.replace(self.right, self.wrong), self.stage);
        let unsaid: Vec<_> = self.words.iter().filter(|words| !said.contains(**words)).collect();
        (!unsaid.is_empty()).then(|| format!("{}: {unsaid:?} is not in:\n{said}", self.name))
    }
}

#[test]
fn the_compiler_says_what_to_do_about_each_mistake() {
    let libraries = Libraries::find();
    for stage in [Check, Build, Clippy] {
        assert_eq!(libraries.compile("right", RIGHT, stage), "", "the program without mistakes, {stage:?}");
    }
    let (next, unsaid) = (Mutex::new(MISTAKES.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(mistake) = next.lock().expect("no panic").next() else { return };
                    let said = mistake.unsaid(&libraries);
                    unsaid.lock().expect("no panic").extend(said);
                }
            });
        }
    });
    let unsaid = unsaid.into_inner().expect("no panic");
    assert!(unsaid.is_empty(), "{}", unsaid.join("\n"));
}
