//! The registry: from session id to session, in shards.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use super::places::{Place, Places};
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
    places: Arc<Places>,
    sessions_max: usize,
    is_closing: AtomicBool,
}

type Shard = HashMap<SessionId, (Arc<Cell>, Place), BuildHasherDefault<Spread>>;

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

impl Registry {
    pub(super) fn new(sessions_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            sessions: AtomicUsize::new(0),
            places: Places::new(sessions_max),
            sessions_max,
            is_closing: AtomicBool::new(false),
        }
    }

    /// Takes a place, if there is one, or if one is about to be free: where the servers of
    /// sessions that are over still have to end. Cancel-safe.
    pub(super) async fn reserve(&self, timeout: Duration) -> Result<Place, NoPlace> {
        if self.is_closing() {
            return Err(NoPlace::Closing);
        }
        if let Some(place) = self.places.try_take() {
            return Ok(place);
        }
        let full = NoPlace::Full(self.sessions_max);
        if self.len() >= self.sessions_max {
            return Err(full);
        }
        self.places.take_in(timeout).await.ok_or(full)
    }

    /// Puts a session into its place, until it is removed.
    pub(super) fn insert(&self, cell: Arc<Cell>, place: Place) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.shard(cell.id()).write().insert(cell.id(), (cell, place));
    }

    /// Has no place for a session any more.
    pub(super) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Arc<Cell>> {
        self.shard(id).read().get(&id).map(|(cell, _)| Arc::clone(cell))
    }

    pub(super) fn remove(&self, id: SessionId) {
        let removed = self.shard(id).write().remove(&id);
        if removed.is_some() {
            self.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.sessions_max
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> Vec<Arc<Cell>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.read().values().map(|(cell, _)| Arc::clone(cell)));
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
