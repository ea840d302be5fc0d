//! The registry: from session id to session, in shards.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{
    permits::{SessionPermit, SessionPermits},
    unused::UnusedSessions,
};
use crate::{
    SessionId,
    session::SessionInner,
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// How many parts the registry has, so that sessions on different cores rarely meet.
const SHARDS: usize = 16;

/// How long a new session waits for a place where all are taken: a client that has hung up
/// and comes back at once may be faster than the end of its session before.
const RECONNECT_GRACE: Duration = Duration::from_millis(250);

/// All sessions. No lock of it is held while a session is called.
#[derive(Debug)]
pub(super) struct Registry {
    shards: [RwLock<Shard>; SHARDS],
    sessions: AtomicUsize,
    permits: Arc<SessionPermits>,
    /// How many new sessions wait for a place.
    waiters: AtomicUsize,
    sessions_max: usize,
    is_closing: AtomicBool,
}

type Shard = HashMap<SessionId, (Arc<SessionInner>, SessionPermit), BuildHasherDefault<IdHasher>>;

/// Hashes an id to its halves: it is random already, and no peer chooses one that is kept.
#[derive(Debug, Default)]
struct IdHasher(u64);

/// Why there is no place for a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum PermitError {
    /// There are as many as are allowed.
    Full(usize),
    Closing,
}

/// A new session that waits for a place.
struct Waiter<'a> {
    waiters: &'a AtomicUsize,
    /// How many waited when it began to.
    ahead: usize,
}

impl<'a> Waiter<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        Self { waiters: waiting, ahead: waiting.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Registry {
    pub(super) fn new(sessions_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            sessions: AtomicUsize::new(0),
            permits: SessionPermits::new(sessions_max),
            waiters: AtomicUsize::new(0),
            sessions_max,
            is_closing: AtomicBool::new(false),
        }
    }

    /// Takes a place, if one is free or will be soon: where an unused session can end, and
    /// where the servers of sessions that are over still have to end. Cancel-safe.
    pub(super) async fn reserve(
        &self,
        unused: &UnusedSessions,
        timeout: Duration,
    ) -> Result<SessionPermit, PermitError> {
        if self.is_closing() {
            return Err(PermitError::Closing);
        }
        if let Some(place) = self.permits.try_acquire() {
            return Ok(place);
        }
        let turn = Waiter::begin(&self.waiters);
        if !self.expects_permit(&turn) {
            unused.close_oldest();
        }
        let return_time = RECONNECT_GRACE.min(timeout);
        if let Some(place) = self.permits.acquire_within(return_time).await {
            return Ok(place);
        }
        let full = PermitError::Full(self.sessions_max);
        if !self.expects_permit(&turn) {
            return Err(full);
        }
        self.permits.acquire_within(timeout.saturating_sub(return_time)).await.ok_or(full)
    }

    /// Returns whether sessions are over whose places are about to be free, as many as it
    /// takes until it is this one's turn. Call it where no place is free.
    fn expects_permit(&self, turn: &Waiter<'_>) -> bool {
        self.sessions_max.saturating_sub(self.len()) > turn.ahead
    }

    /// Puts a session into its place, until it is removed.
    pub(super) fn insert(&self, session: Arc<SessionInner>, place: SessionPermit) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.shard(session.id()).write().insert(session.id(), (session, place));
    }

    /// Has no place for a session any more.
    pub(super) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Arc<SessionInner>> {
        self.shard(id).read().get(&id).map(|(session, _)| Arc::clone(session))
    }

    pub(super) fn remove(&self, id: SessionId) {
        let removed = self.shard(id).write().remove(&id);
        if removed.is_some() {
            self.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> Vec<Arc<SessionInner>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.read().values().map(|(session, _)| Arc::clone(session)));
        }
        all
    }

    fn shard(&self, id: SessionId) -> &RwLock<Shard> {
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
