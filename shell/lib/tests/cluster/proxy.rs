//! A TCP proxy whose connections the test cuts.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinSet,
};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    /// Number of connections that were accepted.
    pub(crate) accepted: watch::Receiver<usize>,
    _acceptor: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (counter, accepted) = watch::channel(0);
        let mut acceptor = JoinSet::new();
        let tasks = Arc::clone(&connections);
        acceptor.spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                near.set_nodelay(true).unwrap();
                tasks.lock().await.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    far.set_nodelay(true).unwrap();
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
                counter.send_modify(|accepted| *accepted += 1);
            }
        });
        Self { address, connections, accepted, _acceptor: acceptor }
    }

    /// Cuts all connections.
    pub(crate) async fn cut(&self) {
        self.connections.lock().await.shutdown().await;
    }
}
