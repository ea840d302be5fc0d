//! The registry: from session id to session, in shards.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use crate::{
    SessionId,
    session::Cell,
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// How many parts the registry has, so that sessions on different cores rarely meet.
const SHARDS: usize = 16;

/// All sessions. No lock of it is held while a session is called.
#[derive(Debug)]
pub(super) struct Registry {
    shards: [RwLock<Shard>; SHARDS],
    sessions: AtomicUsize,
    sessions_max: usize,
    is_closing: AtomicBool,
}

type Shard = HashMap<SessionId, Arc<Cell>, BuildHasherDefault<Spread>>;

/// Hashes an id to its halves: it is random already, and no peer chooses one that is kept.
#[derive(Debug, Default)]
struct Spread(u64);

/// Why there is no place for a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoPlace {
    /// There are as many as are allowed.
    Full(usize),
    Closing,
}

/// A place for one session; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(Option<&'a Registry>);

impl Registry {
    pub(super) fn new(sessions_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            sessions: AtomicUsize::new(0),
            sessions_max,
            is_closing: AtomicBool::new(false),
        }
    }

    /// Takes a place, if there is one.
    pub(super) fn reserve(&self) -> Result<Place<'_>, NoPlace> {
        if self.is_closing() {
            return Err(NoPlace::Closing);
        }
        let next = |sessions| (sessions < self.sessions_max).then_some(sessions + 1);
        match self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(Place(Some(self))),
            Err(_) => Err(NoPlace::Full(self.sessions_max)),
        }
    }

    /// Has no place for a session any more.
    pub(super) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Arc<Cell>> {
        self.shard(id).read().get(&id).cloned()
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

    pub(super) fn all(&self) -> Vec<Arc<Cell>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.read().values().cloned());
        }
        all
    }

    fn shard(&self, id: SessionId) -> &RwLock<Shard> {
        #[expect(clippy::indexing_slicing, reason = "the remainder is a valid index")]
        &self.shards[usize::from(id.spread()) % SHARDS]
    }
}

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.as_chunks::<8>().0 {
            self.0 ^= u64::from_ne_bytes(*part);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Place<'_> {
    /// Puts the session there, until it is removed.
    pub(super) fn fill(mut self, id: SessionId, cell: Arc<Cell>) {
        if let Some(registry) = self.0.take() {
            registry.shard(id).write().insert(id, cell);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(registry) = self.0 {
            registry.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
