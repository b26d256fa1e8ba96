//! [`Room`]: the chat room on either host.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use chat::app::Chat;
use chat::backend::Secret;
use chat::door::Door;
use dog::{Env, Limit};
use dog_door::Sessions;
use dog_native::{Running, Server};
use dog_test_support::browser::Host;
use dog_test_support::command_line::address_after;
use dog_test_support::process::Process;
use dog_test_support::workerd::{Disk, Worker, Workerd, any_port};

/// What other programs show to the room.
pub(crate) const SECRET: &str = "open sesame";

/// What signs the sessions.
const SESSION_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A room with two seats per Replica. It can be stopped and started again at the same address.
pub(crate) struct Room {
    address: SocketAddr,
    disk: Disk,
    host: Host,
    /// Whether its users log in.
    login: bool,
    /// On the native host: the real program and its folder, which can be killed.
    program: Option<tempfile::TempDir>,
    serving: Option<Serving>,
}

enum Serving {
    Native(Running),
    Program(Process),
    Workerd(Workerd),
}

impl Room {
    /// Starts a room on a free port, with an open door.
    pub(crate) async fn open(host: Host) -> Self {
        Self::start(host, false).await
    }

    /// The same with a program that is killed when it is stopped. What it has stored is there when it starts again.
    pub(crate) async fn stored(host: Host) -> Self {
        let program = matches!(host, Host::Native).then(|| tempfile::tempdir().expect("a folder"));
        Self { program, ..Self::new(host, false) }.started().await
    }

    /// The same for users who log in.
    pub(crate) async fn with_login(host: Host) -> Self {
        Self::start(host, true).await
    }

    async fn start(host: Host, login: bool) -> Self {
        Self::new(host, login).started().await
    }

    fn new(host: Host, login: bool) -> Self {
        Self { address: any_port(), disk: Disk::new(), host, login, program: None, serving: None }
    }

    async fn started(mut self) -> Self {
        self.start_again().await;
        self
    }

    /// Returns the address on which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the room. The native host shuts down gracefully; the program and workerd are killed.
    pub(crate) async fn stop(&mut self) {
        match self.serving.take() {
            Some(Serving::Native(running)) => running.shutdown().await,
            // Dropping it has killed it.
            Some(Serving::Program(_) | Serving::Workerd(_)) | None => {}
        }
    }

    fn start_program(&self) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        command.args(["--open", "--limit", "2", "--listen", &self.address.to_string()]);
        command
            .args(self.program.iter().flat_map(|folder| [std::ffi::OsStr::new("--data"), folder.path().as_os_str()]));
        Process::start(command.stdin(Stdio::null())).expect("the program starts")
    }

    /// Starts the room again at its address, with its storage.
    pub(crate) async fn start_again(&mut self) {
        let serving = match self.host {
            Host::Native if self.program.is_some() => Serving::Program(self.start_program()),
            Host::Native => {
                let sessions = Sessions::new(SESSION_SECRET.as_bytes()).expect("it is long enough").insecure();
                let door = if self.login { Door::login(sessions) } else { Door::Open };
                let env = Env::new().with(Limit::new(2)).with(door).with(Secret::new(SECRET).expect("it is not empty"));
                let server = Server::new(Chat).env(env).bind(self.address.to_string());
                Serving::Native(server.max_message(8 * 1024).start().await.expect("the port is free"))
            }
            Host::Workerd => {
                let door = if self.login { ("SESSION_SECRET", SESSION_SECRET) } else { ("OPEN", "1") };
                let variables = &[("LIMIT", "2"), ("SECRET", SECRET), door];
                let worker = Worker { folder: "chat-worker", groups: &["Lobby"], variables, wrapper: None };
                Serving::Workerd(worker.start(&self.disk, self.address))
            }
        };
        self.address = match &serving {
            Serving::Native(running) => running.local_addr(),
            Serving::Program(program) => address_after(program, "listening on http://"),
            Serving::Workerd(workerd) => workerd.address(),
        };
        self.serving = Some(serving);
    }
}
