//! OpenSSL and Node as clients. A test whose program is not installed prints that it did not run.

use std::process::{Command, Stdio};

use dog_test_support::client::within;
use dog_test_support::tls::NAME;

use crate::kit::{Encrypted, start};

/// Runs a program to its end, and returns what it prints. `None` if it is not installed.
async fn output(program: &str, arguments: &[&str], server: &Encrypted) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("NODE_EXTRA_CA_CERTS", server.authority.root());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(child) = command.spawn() else {
        println!("{program} is not installed: this did not run");
        return None;
    };
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = within(program, output).await.unwrap().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn openssl_verifies_the_certificate_in_both_versions_and_resumes() {
    let server = start(|server| server).await;
    let (address, root) = (server.address().to_string(), server.authority.root().to_str().unwrap().to_owned());
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let flags =
            ["s_client", "-connect", &address, "-CAfile", &root, "-servername", NAME, "-alpn", "http/1.1", flag];
        let Some(text) = output("openssl", &flags, &server).await else { return };
        for says in ["Verify return code: 0 (ok)", "ALPN protocol: http/1.1", version] {
            assert!(text.contains(says), "{flag}: no {says:?} in {text}");
        }
    }
    // It connects once, and five times again with the ticket of the first time.
    let flags = ["s_client", "-connect", &address, "-CAfile", &root, "-tls1_2", "-reconnect"];
    let Some(text) = output("openssl", &flags, &server).await else { return };
    let begins = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((begins("New,"), begins("Reused,")), (1, 5), "{text}");
    for flag in ["-tls1", "-tls1_1"] {
        let Some(text) = output("openssl", &["s_client", "-connect", &address, flag], &server).await else { return };
        assert!(!text.contains("BEGIN CERTIFICATE"), "{flag}: {text}");
    }
    server.running.shutdown().await;
}

/// Opens a socket, sends a message, and prints the messages that it gets and how the connection ends.
const PROGRAM: &str = r#"
const [port, name] = process.argv.slice(1);
const headers = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
const request = require("https").get({ host: "127.0.0.1", port, servername: name, path: "/?u=node&room=r", headers });
request.on("error", (error) => console.log("error", error.message));
request.on("upgrade", (response, socket, head) => {
  console.log("status", response.statusCode, socket.getProtocol(), socket.authorized);
  let bytes = head;
  socket.on("data", (more) => {
    bytes = Buffer.concat([bytes, more]);
    while (bytes.length >= 2 && bytes.length >= 2 + bytes[1]) {
      const [opcode, payload] = [bytes[0] & 15, bytes.subarray(2, 2 + bytes[1])];
      bytes = bytes.subarray(2 + bytes[1]);
      console.log("frame", opcode, opcode === 8 ? payload.readUInt16BE() : payload.toString());
      if (opcode === 1 && payload.toString() === "hello") {
        socket.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 3, 232]));
      }
    }
  });
  socket.on("end", () => console.log("end"));
  socket.write(Buffer.concat([Buffer.from([0x81, 0x85, 0, 0, 0, 0]), Buffer.from("hello")]));
});
"#;

#[tokio::test]
async fn node_opens_a_socket() {
    let server = start(|server| server).await;
    let port = server.address().port().to_string();
    let Some(text) = output("node", &["-e", PROGRAM, &port, NAME], &server).await else { return };
    for says in ["status 101 TLSv1.3 true", "frame 1 hello", "frame 8 1000", "end"] {
        assert!(text.lines().any(|line| line == says), "no {says:?} in {text}");
    }
    server.journal.sees("close node 1000").await;
    server.running.shutdown().await;
}
