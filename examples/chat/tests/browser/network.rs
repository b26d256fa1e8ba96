//! [`Network`]: the way from a window to the room, which can be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on. While it is cut, those that were open are gone and new ones are ended at once.
pub(crate) struct Network {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Network {
    pub(crate) async fn to(room: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (is_cut, cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass(from, room, cut.clone()));
            }
        });
        Self { address, is_cut }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(crate) fn heal(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn pass(mut from: TcpStream, room: SocketAddr, mut cut: watch::Receiver<bool>) {
    let passing = async {
        if let Ok(mut to) = TcpStream::connect(room).await {
            // The end of either side ends both.
            let _ = copy_bidirectional(&mut from, &mut to).await;
        }
    };
    tokio::select! {
        () = passing => {}
        _ = cut.wait_for(|is_cut| *is_cut) => {}
    }
}
