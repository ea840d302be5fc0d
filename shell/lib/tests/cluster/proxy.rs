//! A TCP proxy whose connections the test cuts.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinSet,
};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    /// Number of connections that were accepted.
    pub(crate) accepted: watch::Receiver<usize>,
    /// Number of bytes that came from the target.
    pub(crate) bytes: watch::Receiver<usize>,
    /// How long it keeps what it reads.
    delay: watch::Sender<Duration>,
    _acceptor: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (counter, accepted) = watch::channel(0);
        let (byte_counter, bytes) = watch::channel(0);
        let delay = watch::Sender::new(Duration::ZERO);
        let mut acceptor = JoinSet::new();
        let (tasks, delays) = (Arc::clone(&connections), delay.subscribe());
        acceptor.spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                near.set_nodelay(true).unwrap();
                let (delay, byte_counter) = (delays.clone(), byte_counter.clone());
                tasks.lock().await.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    far.set_nodelay(true).unwrap();
                    let (near_read, near_write) = near.split();
                    let (far_read, far_write) = far.split();
                    let count = |bytes| byte_counter.send_modify(|counted| *counted += bytes);
                    // Ends with the first of both, and so closes both connections.
                    tokio::select! {
                        _ = copy(near_read, far_write, &delay, |_| {}) => {}
                        _ = copy(far_read, near_write, &delay, count) => {}
                    }
                });
                counter.send_modify(|accepted| *accepted += 1);
            }
        });
        Self { address, connections, accepted, bytes, delay, _acceptor: acceptor }
    }

    /// Cuts all connections.
    pub(crate) async fn cut(&self) {
        self.connections.lock().await.shutdown().await;
    }

    /// Delays what it reads from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: &watch::Receiver<Duration>,
    count: impl Fn(usize),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let delay = *delay.borrow();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        count(read);
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}
