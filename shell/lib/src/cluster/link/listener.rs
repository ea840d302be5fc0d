//! The socket that other processes connect to.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rejoin_core::cluster::NodeId;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{AbortHandle, JoinSet},
};
use tracing::{debug, warn};

use super::{
    hello::{self, Denial, Secret},
    outbox::QueuedBytes,
    server::{self, Serve},
};
use crate::{
    counts::{CountPermit, Counts},
    peers,
};

/// A socket, and the managers of this process that are reached through it.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    /// Until it is started.
    socket: Mutex<Option<TcpListener>>,
    acceptor: Mutex<Option<AbortHandle>>,
}

struct Shared {
    secret: Secret,
    /// Maximum size of a call.
    call_bytes_max: AtomicUsize,
    /// One for each manager.
    services: Mutex<HashMap<NodeId, Service>>,
    /// Bytes of calls that wait to be written to the links of this process to others.
    queued_calls: QueuedBytes,
}

/// What the calls for a node of this process are served by.
struct Service {
    serve: Arc<dyn Serve>,
    /// The address that it advertises.
    address: Arc<str>,
    /// Whether it wants no more calls. Each of its links has a receiver.
    leaving: watch::Sender<bool>,
}

/// Maximum number of links. Others wait to be accepted.
const LINKS_MAX: usize = 1_024;

/// Maximum number of connections that have not proved yet that they know the secret, and of those from one
/// address. Others are closed.
const STRANGERS_MAX: usize = 64;
const STRANGERS_PER_ADDRESS_MAX: usize = 8;

/// Counts a connection that has not proved yet that it knows the secret, until it is dropped.
type StrangerPermits = (OwnedSemaphorePermit, CountPermit<IpAddr>);

/// Maximum time for a hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);

/// Time until the next attempt, if no connection can be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

impl Listener {
    pub(super) fn new(socket: TcpListener, secret: &[u8], call_bytes_max: usize) -> Self {
        let shared = Shared {
            secret: Secret::new(secret),
            call_bytes_max: AtomicUsize::new(call_bytes_max),
            services: Mutex::default(),
            queued_calls: QueuedBytes::default(),
        };
        Self {
            shared: Arc::new(shared),
            socket: Mutex::new(Some(socket)),
            acceptor: Mutex::default(),
        }
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.shared.secret
    }

    pub(super) fn set_call_bytes_max(&self, bytes: usize) {
        self.shared.call_bytes_max.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn queued_calls(&self) -> &QueuedBytes {
        &self.shared.queued_calls
    }

    /// Sets who serves the calls for a node of this process, which advertises an address.
    pub(crate) fn register(&self, node: NodeId, address: &Arc<str>, serve: Arc<dyn Serve>) {
        let service =
            || Service { serve, address: Arc::clone(address), leaving: watch::Sender::new(false) };
        self.shared.services.lock().entry(node).or_insert_with(service);
    }

    /// Asks others for no more calls, and waits until they have the replies to those that are open.
    pub(crate) async fn leave(&self, node: NodeId) {
        let leaving = {
            let services = self.shared.services.lock();
            services.get(&node).map(|service| service.leaving.clone())
        };
        if let Some(leaving) = leaving {
            leaving.send_replace(true);
            leaving.closed().await;
        }
    }

    pub(crate) fn unregister(&self, node: NodeId) {
        self.shared.services.lock().remove(&node);
    }

    /// Starts to accept connections, unless that was done. Must be called in a tokio runtime.
    pub(crate) fn start(&self) {
        let Some(socket) = self.socket.lock().take() else { return };
        let shared = Arc::clone(&self.shared);
        let acceptor = tokio::spawn(async move {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => accept(&shared, socket).await,
                Err(error) => warn!(%error, "cannot accept links of other processes"),
            }
        });
        *self.acceptor.lock() = Some(acceptor.abort_handle());
    }
}

async fn accept(shared: &Arc<Shared>, socket: tokio::net::TcpListener) {
    let (links, strangers) =
        (Arc::new(Semaphore::new(LINKS_MAX)), Arc::new(Semaphore::new(STRANGERS_MAX)));
    let addresses = Arc::<Counts<IpAddr>>::default();
    let mut tasks = JoinSet::new();
    loop {
        // An error means that the semaphore is closed, which it never is.
        let Ok(link) = Arc::clone(&links).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let stranger = Arc::clone(&strangers).try_acquire_owned().ok();
                let network = peers::network(peer.ip());
                let of_address = addresses.try_acquire(network, STRANGERS_PER_ADDRESS_MAX);
                let Some(stranger) = stranger.zip(of_address) else {
                    warn!(%peer, "link refused: too many connections without a hello");
                    continue;
                };
                let shared = Arc::clone(shared);
                tasks.spawn(async move {
                    shared.welcome(stream, peer, stranger).await;
                    drop(link);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a link of another process");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

impl Shared {
    async fn welcome(&self, mut stream: TcpStream, peer: SocketAddr, stranger: StrangerPermits) {
        let call_bytes_max = self.call_bytes_max.load(Ordering::Relaxed);
        let told = u32::try_from(call_bytes_max).unwrap_or(u32::MAX);
        // An error means that the connection is closed, which the hello finds.
        let _ = stream.set_nodelay(true);
        let deny = |owner, address: &str| match self.services.lock().get(&owner) {
            None => Some(Denial::OtherProcess),
            Some(service) => (*service.address != *address).then_some(Denial::OtherAddress),
        };
        let hello = hello::accept(&mut stream, told, &self.secret, deny);
        let ends = match tokio::time::timeout(HELLO_TIMEOUT, hello).await {
            Ok(Ok(ends)) => ends,
            Ok(Err(error)) => return warn!(%peer, %error, "link refused"),
            Err(_) => return warn!(%peer, error = "no hello in time", "link refused"),
        };
        drop(stranger);
        let service = {
            let services = self.services.lock();
            let service = services.get(&ends.owner);
            service.map(|service| (Arc::clone(&service.serve), service.leaving.subscribe()))
        };
        // Its manager may have ended meanwhile.
        let Some((service, leaving)) = service else { return };
        debug!(%peer, ingress = %ends.ingress, "link of another process");
        let reason = server::serve(stream, service, call_bytes_max, leaving).await;
        debug!(%peer, ingress = %ends.ingress, reason, "link of another process has ended");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(acceptor) = self.acceptor.lock().take() {
            acceptor.abort();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}
