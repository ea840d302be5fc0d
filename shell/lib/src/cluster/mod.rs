//! Sessions in a store: they outlive their process, and other processes can take them over.
//!
//! `node` is the task that writes what sessions record, and renews the lease of the process;
//! `resolve` finds a session that the process does not have, and `restore` reads it from the store.
//! `links` has the connections to other processes, to which requests for their sessions are passed on.

mod entry;
#[cfg(feature = "cluster")]
pub(crate) mod link;
#[cfg(feature = "cluster")]
mod links;
mod node;
#[cfg(feature = "cluster")]
mod owners;
mod resolve;
mod restore;
#[cfg(feature = "cluster")]
mod shutdown;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use rejoin_core::{
    Instant, Record, Session,
    cluster::{EntryKind, NodeId, NodeLease, StoreId},
};
use tokio::sync::{Notify, Semaphore, mpsc};

use self::resolve::Resolutions;
#[cfg(feature = "fuzzing")]
pub(crate) use self::restore::SessionLog;
#[cfg(feature = "cluster")]
pub(crate) use self::shutdown::{OpenRequest, Shutdown, ShutdownReceiver};
pub(crate) use self::{
    resolve::{Claim, Resolution, TakeOver},
    restore::{RestoreFailure, Restored},
};
use crate::{
    ClientMessage, Principal, SessionId,
    byte_counter::ByteCounter,
    session::{SessionInner, SessionStore, Shared, StoreJob},
    store::{Store, StoreConfig, Write},
};

/// Maximum number of sessions that are taken over at a time.
const TAKEOVERS_MAX: usize = 64;

/// Maximum number of logs that are read at a time: each has up to twice the bytes of its session.
const READS_MAX: usize = 4;

/// This process, and the store that it shares with others.
pub(crate) struct Cluster {
    node: NodeId,
    store: Box<dyn Store>,
    pub(crate) config: StoreConfig,
    state: Mutex<State>,
    /// Notified when the lease becomes valid.
    resumed: Notify,
    jobs: mpsc::UnboundedSender<Job>,
    /// Until the task is started. What waits is bounded by the sessions: each has at most one entry in
    /// flight, and a few other jobs.
    job_receiver: Mutex<Option<mpsc::UnboundedReceiver<Job>>>,
    resolutions: Resolutions,
    takeovers: Semaphore,
    reads: Semaphore,
    /// Bytes of records that wait for the entry before them.
    pending: ByteCounter,
    /// Bytes of entries that the store has not answered yet.
    entries: Arc<ByteCounter>,
    /// How other processes reach this one; empty if they cannot.
    address: Arc<str>,
    /// `None` if sessions of other processes are only taken over.
    #[cfg(feature = "cluster")]
    links: Option<links::Links>,
}

#[derive(Debug)]
struct State {
    lease: NodeLease,
    /// The store that was connected last, and since when.
    store: Option<(StoreId, Instant)>,
    leases_lost: u64,
    /// Whether the process has ended its lease.
    has_left: bool,
    /// Number of sessions that were restored.
    restorations: u64,
    /// Sessions that are closed, and whose end the store does not know yet. At most as many as
    /// `sessions_max`; the store removes the others when their TTL expires.
    closed: HashMap<SessionId, Arc<SessionInner<Bytes>>>,
}

/// Something to do for a session.
#[derive(Debug)]
struct Job {
    session: Arc<SessionInner<Bytes>>,
    what: StoreJob,
    /// Of the entry, if it has one.
    bytes: Option<CountedBytes>,
}

/// Bytes of an entry, until the store has answered.
#[derive(Debug)]
struct CountedBytes {
    counter: Arc<ByteCounter>,
    bytes: usize,
}

impl CountedBytes {
    fn new(counter: &Arc<ByteCounter>, bytes: usize) -> Self {
        counter.add(bytes);
        Self { counter: Arc::clone(counter), bytes }
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.counter.subtract(self.bytes);
    }
}

impl Cluster {
    pub(crate) fn new(store: Box<dyn Store>, config: StoreConfig) -> Self {
        let (jobs, job_receiver) = mpsc::unbounded_channel();
        let state = State {
            lease: NodeLease::new(config.lease),
            store: None,
            leases_lost: 0,
            has_left: false,
            restorations: 0,
            closed: HashMap::new(),
        };
        Self {
            node: NodeId(rand::random()),
            store,
            config,
            state: Mutex::new(state),
            resumed: Notify::new(),
            jobs,
            job_receiver: Mutex::new(Some(job_receiver)),
            resolutions: Resolutions::default(),
            takeovers: Semaphore::new(TAKEOVERS_MAX),
            reads: Semaphore::new(READS_MAX),
            pending: ByteCounter::default(),
            entries: Arc::default(),
            address: "".into(),
            #[cfg(feature = "cluster")]
            links: None,
        }
    }

    /// Passes requests for sessions of other processes on to these.
    #[cfg(feature = "cluster")]
    pub(crate) fn with_links(self, config: link::LinkConfig) -> Self {
        let address = Arc::clone(config.advertised());
        Self { address, links: Some(links::Links::new(self.node, config)), ..self }
    }

    /// Starts the task of the process, unless it runs. Must be called in a tokio runtime.
    pub(crate) fn start(self: &Arc<Self>, shared: &Arc<Shared<Bytes>>) {
        let receiver = self.job_receiver.lock().take();
        if let Some(jobs) = receiver {
            #[cfg(feature = "cluster")]
            if let Some(links) = &self.links {
                links.start();
            }
            tokio::spawn(node::run(Arc::clone(self), Arc::downgrade(shared), jobs));
        }
    }

    /// Returns whether the process may promise anything.
    pub(crate) fn has_lease(&self, now: Instant) -> bool {
        self.state.lock().lease.is_valid(now)
    }

    /// Returns whether a session is closed, although the store may not know it yet.
    pub(crate) fn has_closed(&self, session: SessionId) -> bool {
        self.state.lock().closed.contains_key(&session)
    }

    /// Ends the lease for good, so that others do not try to reach this process, which has no sessions
    /// any more.
    pub(crate) async fn end_lease(&self) {
        self.state.lock().has_left = true;
        // If that fails, the lease expires.
        let _ = self.store.write(Write::Leave { node: self.node }).await;
    }

    /// Returns a future that is ready when the lease has become valid after this call.
    pub(crate) fn lease_resumed(&self) -> impl Future<Output = ()> {
        self.resumed.notified()
    }
}

impl SessionStore<Bytes> for Cluster {
    fn leases_lost(&self) -> u64 {
        self.state.lock().leases_lost
    }

    fn holds_lease(&self, now: Instant) -> bool {
        self.has_lease(now)
    }

    fn initialize(&self, request: &ClientMessage) -> Bytes {
        request.clone().into_bytes()
    }

    fn write_record(&self, record: &Record<Bytes>, payload: &mut Vec<u8>) {
        entry::write_record(record, payload);
    }

    fn write_whole(
        &self,
        core: &Session<ClientMessage, Bytes>,
        principal: Option<&Principal>,
        initialize: &Bytes,
    ) -> Bytes {
        entry::write_whole(self.node, core, principal, initialize)
    }

    fn write_entry(&self, kind: EntryKind, payload: &[u8]) -> Bytes {
        entry::write(kind.into(), self.node, payload)
    }

    fn pending(&self) -> &ByteCounter {
        &self.pending
    }

    fn start(&self, session: &Arc<SessionInner<Bytes>>, job: StoreJob) {
        let mut bytes = None;
        match &job {
            StoreJob::Track => self.track(session),
            StoreJob::Forget => self.untrack(session),
            StoreJob::Append { entry, .. } => {
                bytes = Some(CountedBytes::new(&self.entries, entry.len()));
            }
            StoreJob::Write
            | StoreJob::Trim { .. }
            | StoreJob::Remove
            | StoreJob::Ask
            | StoreJob::Extend => {}
        }
        // An error means that the task has ended, because the manager was dropped.
        let _ = self.jobs.send(Job { session: Arc::clone(session), what: job, bytes });
    }
}

impl Cluster {
    fn track(&self, session: &Arc<SessionInner<Bytes>>) {
        let max = session.sessions_max();
        {
            let mut state = self.state.lock();
            if state.closed.len() >= max {
                return;
            }
            state.closed.insert(session.id(), Arc::clone(session));
        }
        // The store may have learned of its end before.
        if session.is_over_in_store() {
            self.untrack(session);
        }
    }

    /// Forgets a session, unless another one with its id is tracked by now.
    fn untrack(&self, session: &Arc<SessionInner<Bytes>>) {
        let mut state = self.state.lock();
        if state.closed.get(&session.id()).is_some_and(|tracked| Arc::ptr_eq(tracked, session)) {
            state.closed.remove(&session.id());
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("node", &self.node).finish_non_exhaustive()
    }
}
