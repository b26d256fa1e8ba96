//! What a socket takes with TLS, in memory.

use std::net::TcpStream;
use std::sync::Arc;

use dog_test_support::certificates::Authority;
use dog_test_support::tls::{BOTH, NAME, trusting};
use rustls::{ClientConfig, ClientConnection, Stream};
use stats_alloc::Region;
use tokio::runtime::Builder;

use crate::app::server;
use crate::crowd::{reach, shake_hands};
use crate::{ALLOCATOR, alone};

const SOCKETS: usize = 100;

/// The most that an idle socket with TLS may take, in bytes, with all that the server keeps for its client.
const MOST: usize = 12 * 1024;

/// Returns how many bytes the server holds per idle socket.
fn held(config: Option<&Arc<ClientConfig>>, authority: &Authority) -> usize {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let [certificate, key] = authority.vouches_for(NAME);
    let server = server(500, 1);
    let server = if config.is_some() { server.tls(certificate, key) } else { server };
    let server = runtime.block_on(server.start()).unwrap();
    let address = server.local_addr();
    let open = |number: usize| -> TcpStream {
        let mut socket = reach(address);
        match config {
            None => shake_hands(&mut socket, address, number),
            Some(config) => {
                let mut tls = ClientConnection::new(Arc::clone(config), NAME.try_into().unwrap()).unwrap();
                let mut stream = Stream::new(&mut tls, &mut socket);
                shake_hands(&mut stream, address, number);
                // Lets the buffers grow to what a message needs.
                let message = [&[0x82, 0x80 | 4, 0, 0, 0, 0][..], b"here"].concat();
                std::io::Write::write_all(&mut stream, &message).unwrap();
                std::io::Read::read_exact(&mut stream, &mut [0; 6]).unwrap();
            }
        }
        // What the client itself holds for TLS is dropped here. The socket stays open, because nobody writes to it any more.
        socket
    };
    // The first ones make the server's own tables.
    let mut sockets = Vec::with_capacity(2 * SOCKETS);
    sockets.extend((0..SOCKETS).map(open));
    let region = Region::new(ALLOCATOR);
    sockets.extend((SOCKETS..2 * SOCKETS).map(open));
    let change = region.change();
    drop(sockets);
    runtime.block_on(server.shutdown());
    (change.bytes_allocated - change.bytes_deallocated) / SOCKETS
}

#[test]
fn an_idle_socket_with_tls_is_small() {
    let _alone = alone();
    let authority = Authority::new();
    let config = trusting(authority.root(), BOTH);
    let (plain, encrypted) = (held(None, &authority), held(Some(&config), &authority));
    println!("an idle socket takes {plain} bytes, and {encrypted} bytes with TLS");
    assert!(encrypted <= MOST, "{encrypted} bytes");
}
