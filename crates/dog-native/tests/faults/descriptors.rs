//! A process that may open few files and sockets: clients do not use up what storage and the admin address need.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::child::{Child, LIMIT};
use crate::ledger;
use crate::ledger::clients::{Model, connect_all};

/// More than the limit, so that many are refused.
const CONNECTIONS: usize = 400;
const FILES: &str = "256";

/// Sends a request and returns the whole answer.
fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn clients_leave_the_files_that_storage_and_operator_need() {
    let folder = tempfile::tempdir().unwrap();
    let [server, data] = ledger::settings(folder.path());
    let child = Child::start(&[server, data, (LIMIT, FILES), (ledger::ADMIN, "yes")]).unwrap();
    let admin = child.admin.expect("the child has an admin address");
    let mut model = Model::default();
    let mut writers = connect_all(child.address, 2, 1).await;
    model.check(&mut writers).await.unwrap();

    let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(child.address).unwrap()).collect();
    // The last connection is refused with a response.
    let last = clients.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = [0; 12];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    let open = child.descriptors();
    assert!(open < 256 - 32, "{open} of 256 are in use");

    // Enough data that the database writes tables and starts new journals.
    for number in 0..15 {
        for (at, writer) in (1..).zip(&mut writers) {
            writer.must(format!("put large.{} {} 1200000", number % 4, at * 1_000 + number)).await;
        }
    }
    assert!(get(admin, "/healthz").starts_with("HTTP/1.1 200"), "the server is healthy");
    assert!(get(admin, "/readyz").starts_with("HTTP/1.1 200"), "its storage works");
    model.learn(&writers);
    drop(clients);
    model.check(&mut writers).await.unwrap();
    assert_eq!(child.kill(), "");
}
