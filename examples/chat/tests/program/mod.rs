//! The chat's program whose users log in, and its users: [`Program`].

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use dog_test_support::client::{Client, handshake, http, http_with};
use dog_test_support::command_line::address_after;
use dog_test_support::process::Process;
use tokio_tungstenite::tungstenite::Message;

const SECRET: &str = "open sesame";

/// A program that runs. It is killed when this is dropped.
pub(crate) struct Program {
    _process: Process,
    address: SocketAddr,
}

impl Program {
    /// Starts it with a secret of sessions, which it finds in the folder.
    pub(crate) fn start(folder: &Path, flags: &[&str]) -> Self {
        let file = folder.join("session-secret");
        std::fs::write(&file, [b'7'; 32]).expect("space for a secret");
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        command.args(["--listen", "127.0.0.1:0", "--secret", SECRET, "--session-secret"]).arg(file).args(flags);
        let process = Process::start(command.stdin(Stdio::null())).expect("the program starts");
        let address = address_after(&process, "listening on http://");
        Self { _process: process, address }
    }

    /// Begins a session. Returns its cookie.
    pub(crate) async fn log_in(&self, name: &str) -> String {
        let answer = http(self.address, "POST", "/login", name).await;
        assert_eq!(answer.status, 204, "{}", answer.head);
        let cookie = answer.field("set-cookie").and_then(|cookie| cookie.split(';').next());
        cookie.expect("a cookie").to_owned()
    }

    /// Enters with a session. `Err` is the close code of the refusal.
    pub(crate) async fn enter(&self, session: &str) -> Result<Client, u16> {
        let mut request = handshake(self.address, "/ws");
        request.headers_mut().insert("cookie", session.parse().expect("a value"));
        let mut client = Client::open(request).await.expect("a handshake is accepted, also to be refused");
        // Everybody hears of who joins, first of all oneself.
        match client.next_raw().await {
            Message::Close(close) => Err(close.expect("a code").code.into()),
            _ => Ok(client),
        }
    }

    /// Removes a user. Returns the number of sockets that were closed, as JSON.
    pub(crate) async fn remove(&self, name: &str) -> String {
        let known = format!("authorization: Bearer {SECRET}\r\n");
        let answer = http_with(self.address, "DELETE", &format!("/users/{name}"), &known, "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

/// The code with which the server closes the socket.
pub(crate) async fn closed(client: &mut Client) -> u16 {
    loop {
        if let Message::Close(close) = client.next_raw().await {
            return close.expect("a code").code.into();
        }
    }
}
