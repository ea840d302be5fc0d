//! The links of a process to others, and who has which session.

use std::{collections::HashMap, fmt, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::Shared};
use parking_lot::Mutex;
use rejoin_core::cluster::NodeId;
use tracing::warn;

use super::{
    Cluster,
    entry::{Entry, Kind},
    link::{self, Call, Link, LinkConfig, Operation, Reply, Serve},
    owners::Owners,
    shutdown::{Shutdown, ShutdownSender},
};
use crate::{
    SessionId,
    store::{LastEntry, StoreKey},
};

/// The links of this process.
pub(super) struct Links {
    node: NodeId,
    config: LinkConfig,
    /// Those that stand: at most [`LINKS_MAX`].
    standing: Mutex<HashMap<NodeId, Link>>,
    /// Attempts to connect: at most one for each resolution in progress.
    attempts: Mutex<HashMap<NodeId, Attempt>>,
    owners: Owners,
    /// For the requests that this process passes on.
    shutdown: ShutdownSender,
}

type Attempt = Shared<Pin<Box<dyn Future<Output = Option<Link>> + Send>>>;

/// What became of an attempt to pass requests for a session on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The process has the session.
    Owner,
    /// It does not have it.
    Other,
    /// It cannot be reached.
    Nobody,
}

/// Maximum number of links.
const LINKS_MAX: usize = 1_024;

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time for a process to say whether it has a session, which it may have to take over first.
const FIND_TIMEOUT: Duration = Duration::from_secs(2);

impl Links {
    pub(super) fn new(node: NodeId, config: LinkConfig) -> Self {
        Self {
            node,
            config,
            standing: Mutex::default(),
            attempts: Mutex::default(),
            owners: Owners::default(),
            shutdown: ShutdownSender::new(),
        }
    }

    pub(super) fn start(&self) {
        let address = self.config.advertised();
        if address.parse().is_ok_and(|address: SocketAddr| address.ip().is_unspecified()) {
            warn!(%address, "other processes cannot reach this one: it must advertise its address");
        }
        self.config.listener.start();
    }

    /// Returns the link to a process, if it stands.
    fn standing(&self, node: NodeId) -> Option<Link> {
        self.standing.lock().get(&node).filter(|link| !link.is_over()).cloned()
    }

    /// Connects to a process, unless there is a link. All that need it wait for one attempt.
    async fn link_to(&self, node: NodeId, address: &str) -> Option<Link> {
        if let Some(link) = self.standing(node) {
            return Some(link);
        }
        let attempt = {
            let mut attempts = self.attempts.lock();
            let attempt = attempts.entry(node).or_insert_with(|| self.attempt(node, address));
            attempt.clone()
        };
        let link = attempt.clone().await;
        {
            let mut attempts = self.attempts.lock();
            // It may be a later one by now.
            if attempts.get(&node).is_some_and(|current| current.ptr_eq(&attempt)) {
                attempts.remove(&node);
            }
        }
        let mut links = self.standing.lock();
        if let Some(standing) = links.get(&node).filter(|link| !link.is_over()) {
            return Some(standing.clone());
        }
        links.retain(|_, link| !link.is_over());
        if links.len() < LINKS_MAX
            && let Some(link) = &link
        {
            links.insert(node, link.clone());
        }
        link
    }

    fn attempt(&self, node: NodeId, address: &str) -> Attempt {
        let (config, address) = (self.config.clone(), address.to_owned());
        let (ingress, shutdown) = (self.node, self.shutdown.subscribe());
        let attempt = async move {
            let connecting = link::connect(&config, &address, (ingress, node), shutdown);
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(link)) => return Some(link),
                Ok(Err(error)) => warn!(owner = %node, address, %error, "no link"),
                Err(_) => warn!(owner = %node, address, error = "no answer in time", "no link"),
            }
            None
        };
        attempt.boxed().shared()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.config.listener.unregister(self.node);
    }
}

impl Cluster {
    /// Sets who does the calls that other processes pass on.
    pub(crate) fn serve_calls(&self, service: Arc<dyn Serve>) {
        if let Some(links) = &self.links {
            links.config.listener.register(self.node, links.config.advertised(), service);
        }
    }

    /// Begins a stage of the shutdown, for the requests that this process passes on.
    pub(crate) fn shut_down(&self, stage: Shutdown) {
        if let Some(links) = &self.links {
            links.shutdown.send(stage);
        }
    }

    /// Waits until no request is open that this process passes on.
    pub(crate) async fn passed_on_requests_ended(&self) {
        if let Some(links) = &self.links {
            links.shutdown.requests_ended().await;
        }
    }

    /// Waits until others have the replies to the requests that they have passed on, and pass on no more.
    pub(crate) async fn leave(&self) {
        if let Some(links) = &self.links {
            links.config.listener.leave(self.node).await;
        }
    }

    /// Returns the link to the owner of a session, as far as both are known.
    pub(crate) fn known_owner(&self, session: SessionId) -> Option<Link> {
        let links = self.links.as_ref()?;
        links.standing(links.owners.get(session)?)
    }

    /// Forgets who has a session: it does not have it any more.
    pub(crate) fn forget_owner(&self, session: SessionId) {
        if let Some(links) = &self.links {
            links.owners.remove(session);
        }
    }

    /// Returns whether this process has a session, as the store knows it.
    pub(crate) async fn is_owner_in_store(&self, session: SessionId) -> bool {
        let last = self.store.last(StoreKey::of(session)).await;
        let Ok(LastEntry { entry: Some(entry), .. }) = last else { return false };
        Entry::read(&entry.bytes).is_ok_and(|read| {
            read.node == self.node
                && matches!(read.kind, Kind::Whole | Kind::Records | Kind::Claimed)
        })
    }

    /// Tries to reach the owner of a session, and notes it.
    pub(super) async fn reach_owner(
        &self,
        session: SessionId,
        owner: NodeId,
        address: &str,
    ) -> Reached {
        let Some(links) = self.links.as_ref().filter(|_| !address.is_empty()) else {
            return Reached::Nobody;
        };
        let Some(link) = links.link_to(owner, address).await else { return Reached::Nobody };
        let Ok(mut call) = link.call(&Call::new(session, None, None, Operation::Find)) else {
            return Reached::Nobody;
        };
        match tokio::time::timeout(FIND_TIMEOUT, call.reply()).await {
            Ok(Some(Reply::Done)) => {
                links.owners.insert(session, owner);
                Reached::Owner
            }
            Ok(Some(_)) => Reached::Other,
            Ok(None) | Err(_) => Reached::Nobody,
        }
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("config", &self.config).finish_non_exhaustive()
    }
}
