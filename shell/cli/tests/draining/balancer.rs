//! A TCP load balancer: each new connection goes to the instance that was chosen last.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) struct Balancer {
    pub(crate) address: String,
    instance: Arc<Mutex<String>>,
    acceptor: JoinHandle<()>,
}

impl Balancer {
    pub(crate) async fn start(instance: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let instance = Arc::new(Mutex::new(instance.to_owned()));
        let chosen = Arc::clone(&instance);
        let acceptor = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let instance = chosen.lock().clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(instance).await.unwrap();
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    // Either side may break the connection.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, instance, acceptor }
    }

    /// Chooses the instance for new connections.
    pub(crate) fn choose(&self, instance: &str) {
        instance.clone_into(&mut self.instance.lock());
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
