//! A TCP forwarder that can be redirected, and that can take a network apart.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A forwarder that runs until it is dropped.
#[derive(Debug)]
pub struct Forwarder {
    /// The host and the port.
    pub address: String,
    path: Arc<watch::Sender<Path>>,
    acceptor: JoinHandle<()>,
}

/// Where bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Path {
    target: String,
    /// Connections of an earlier target are broken.
    redirections: usize,
    /// Nothing gets through, in either direction, and nobody is told.
    is_silent: bool,
}

impl Forwarder {
    /// Starts a forwarder on a free port, in the runtime of the caller.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let path = Path { target: target.to_owned(), redirections: 0, is_silent: false };
        let path = Arc::new(watch::Sender::new(path));
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&path)));
        Self { address, path, acceptor }
    }

    /// Breaks all connections. New ones go to another target.
    pub fn redirect(&self, target: &str) {
        self.path.send_modify(|path| {
            target.clone_into(&mut path.target);
            path.redirections += 1;
        });
    }

    /// Lets nothing through without a sign, as a network does that is partitioned; or lets everything
    /// through again, also what was sent meanwhile.
    pub fn silence(&self, is_silent: bool) {
        self.path.send_modify(|path| path.is_silent = is_silent);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, path: Arc<watch::Sender<Path>>) {
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        // Either side may break the connection.
        let forwarding = forward(connection, path.subscribe());
        connections.spawn(async move { drop(forwarding.await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(near: TcpStream, mut path: watch::Receiver<Path>) -> io::Result<()> {
    let begun = path.borrow_and_update().clone();
    is_open(&mut path.clone()).await;
    let far = TcpStream::connect(&begun.target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let (there, back) = (path.clone(), path.clone());
    let mut copies = JoinSet::new();
    copies.spawn(copy(from_near, to_far, there));
    copies.spawn(copy(from_far, to_near, back));
    tokio::select! {
        // The end of one direction ends the other.
        _ = copies.join_next() => {}
        _ = path.wait_for(|path| path.redirections != begun.redirections) => {}
    }
    Ok(())
}

/// Waits while nothing gets through.
async fn is_open(path: &mut watch::Receiver<Path>) {
    // The forwarder is gone with its connections.
    let _ = path.wait_for(|path| !path.is_silent).await;
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut path: watch::Receiver<Path>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        // Also the end of a connection is not heard through a network that is partitioned.
        is_open(&mut path).await;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Starts a server that sends its name on each connection, and then what it gets.
    async fn echo(name: u8) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    connection.write_u8(name).await.unwrap();
                    let (mut from, mut to) = connection.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        };
        (address, tokio::spawn(serving))
    }

    #[tokio::test]
    async fn a_redirection_breaks_connections() {
        let ((first, _first), (second, _second)) = (echo(1).await, echo(2).await);
        let forwarder = Forwarder::start(&first).await;
        let mut connection = TcpStream::connect(&forwarder.address).await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), 1);
        connection.write_u8(3).await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), 3);
        forwarder.redirect(&second);
        assert!(connection.read_u8().await.is_err());
        let mut connection = TcpStream::connect(&forwarder.address).await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_silent_network_holds_everything_back() {
        let (address, _server) = echo(1).await;
        let forwarder = Forwarder::start(&address).await;
        let mut connection = TcpStream::connect(&forwarder.address).await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), 1);
        forwarder.silence(true);
        connection.write_u8(2).await.unwrap();
        let mut another = TcpStream::connect(&forwarder.address).await.unwrap();
        let silence = Duration::from_millis(100);
        assert!(timeout(silence, connection.read_u8()).await.is_err());
        assert!(timeout(silence, another.read_u8()).await.is_err());
        forwarder.silence(false);
        assert_eq!(connection.read_u8().await.unwrap(), 2);
        assert_eq!(another.read_u8().await.unwrap(), 1);
    }
}
