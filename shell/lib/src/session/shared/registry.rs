//! The registry of sessions: a sharded map by session id.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use super::unused::UnusedSessions;
use crate::{
    SessionId,
    payload::Payload,
    permits::{SessionPermit, SessionPermits},
    session::SessionInner,
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Number of shards, to reduce lock contention between cores.
const SHARDS: usize = 16;

/// Time that a new session waits for a permit at the session limit: a client that reconnects at
/// once may be faster than the end of its previous session.
const RECONNECT_GRACE: Duration = Duration::from_millis(250);

/// All sessions. No lock is held while a session is called.
#[derive(Debug)]
pub(crate) struct Registry<P: Payload> {
    shards: [RwLock<Shard<P>>; SHARDS],
    sessions: AtomicUsize,
    permits: Arc<SessionPermits>,
    /// Number of new sessions that wait for a permit.
    waiters: AtomicUsize,
    sessions_max: usize,
    is_closing: AtomicBool,
}

type Shard<P> =
    HashMap<SessionId, (Arc<SessionInner<P>>, SessionPermit), BuildHasherDefault<IdHasher>>;

/// Hashes an id to the XOR of its halves: ids are random. Those of restored sessions are checked by
/// the store that they come from.
#[derive(Debug, Default)]
struct IdHasher(u64);

/// Why there is no permit for a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PermitError {
    /// The limit is reached.
    Full(usize),
    Closing,
}

/// A new session that waits for a permit.
struct Waiter<'a> {
    waiters: &'a AtomicUsize,
    /// Number of sessions that waited before it.
    ahead: usize,
}

impl<'a> Waiter<'a> {
    fn new(waiters: &'a AtomicUsize) -> Self {
        Self { waiters, ahead: waiters.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<P: Payload> Registry<P> {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            sessions: AtomicUsize::new(0),
            permits: SessionPermits::new(sessions_max),
            waiters: AtomicUsize::new(0),
            sessions_max,
            is_closing: AtomicBool::new(false),
        }
    }

    /// Acquires a permit, if one is available or will be soon: at the limit, it closes an unused
    /// session, and waits for the servers of closed sessions to exit. Cancel-safe.
    pub(crate) async fn reserve(
        &self,
        unused: &UnusedSessions<P>,
        timeout: Duration,
    ) -> Result<SessionPermit, PermitError> {
        if self.is_closing() {
            return Err(PermitError::Closing);
        }
        if let Some(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let waiter = Waiter::new(&self.waiters);
        if !self.expects_permit(&waiter) {
            unused.close_oldest();
        }
        let grace = RECONNECT_GRACE.min(timeout);
        if let Some(permit) = self.permits.acquire_within(grace).await {
            return Ok(permit);
        }
        let full = PermitError::Full(self.sessions_max);
        if !self.expects_permit(&waiter) {
            return Err(full);
        }
        self.permits.acquire_within(timeout.saturating_sub(grace)).await.ok_or(full)
    }

    /// Returns whether enough closed sessions still hold permits to serve this waiter, too. Only
    /// meaningful while no permit is available.
    fn expects_permit(&self, waiter: &Waiter<'_>) -> bool {
        self.sessions_max.saturating_sub(self.len()) > waiter.ahead
    }

    /// Inserts a session, which holds its permit until it is removed.
    pub(crate) fn insert(&self, session: Arc<SessionInner<P>>, permit: SessionPermit) {
        let earlier = self.shard(session.id()).write().insert(session.id(), (session, permit));
        debug_assert!(earlier.is_none(), "session ids are unique");
        if earlier.is_none() {
            self.sessions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Refuses new sessions from now on.
    pub(crate) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<SessionInner<P>>> {
        self.shard(id).read().get(&id).map(|(session, _)| Arc::clone(session))
    }

    /// Removes a session, not another one that has its id by now. Returns whether it was there.
    pub(crate) fn remove(&self, session: &Arc<SessionInner<P>>) -> bool {
        let mut shard = self.shard(session.id()).write();
        let Entry::Occupied(entry) = shard.entry(session.id()) else { return false };
        if !Arc::ptr_eq(&entry.get().0, session) {
            return false;
        }
        let removed = entry.remove();
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        drop(shard);
        drop(removed);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(crate) fn all(&self) -> Vec<Arc<SessionInner<P>>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.read().values().map(|(session, _)| Arc::clone(session)));
        }
        all
    }

    fn shard(&self, id: SessionId) -> &RwLock<Shard<P>> {
        #[expect(clippy::indexing_slicing, reason = "the remainder is a valid index")]
        &self.shards[usize::from(id.shard_hash()) % SHARDS]
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.as_chunks::<8>().0 {
            self.0 ^= u64::from_ne_bytes(*part);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
