//! A store in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rejoin_core::cluster::{EntryId, NodeId, StoreId};
use tokio::time::Instant;

use super::{Entry, LastEntry, Lease, Outcome, Store, StoreAway, StoreFuture, StoreKey, Write};

/// A store in the memory of this process, for tests and examples: it keeps sessions across managers,
/// not across processes. A clone is the same store.
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    id: StoreId,
    is_away: bool,
    logs: HashMap<StoreKey, Log>,
    leases: HashMap<NodeId, (Arc<str>, Instant)>,
}

/// The log of a session. There is one for each session that was created within its TTL.
#[derive(Debug)]
struct Log {
    entries: BTreeMap<EntryId, Bytes>,
    /// Stays when its entry is removed.
    last: EntryId,
    removed_at: Instant,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner::new())))
    }
}

impl MemoryStore {
    /// Makes every call fail until [`connect`](Store::connect) is called.
    pub fn disconnect(&self) {
        self.0.lock().is_away = true;
    }

    /// Forgets everything, as a server does that restarts without persistence.
    pub fn forget(&self) {
        *self.0.lock() = Inner { is_away: true, ..Inner::new() };
    }

    fn call<T>(&self, call: impl FnOnce(&mut Inner) -> T) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
    {
        let mut inner = self.0.lock();
        let result = if inner.is_away {
            Err(StoreAway::new("disconnected"))
        } else {
            inner.expire(Instant::now());
            Ok(call(&mut inner))
        };
        Box::pin(std::future::ready(result))
    }
}

impl Store for MemoryStore {
    fn connect(&self) -> StoreFuture<'_, StoreId> {
        self.0.lock().is_away = false;
        self.call(|inner| inner.id)
    }

    fn write(&self, write: Write) -> StoreFuture<'_, Outcome> {
        self.call(|inner| inner.write(write, Instant::now()))
    }

    fn last(&self, key: StoreKey) -> StoreFuture<'_, LastEntry> {
        self.call(|inner| {
            let entries = inner.logs.get(&key).and_then(|log| log.entries.last_key_value());
            let entry = entries.map(|(id, bytes)| Entry { id: *id, bytes: bytes.clone() });
            LastEntry { entry, store: Some(inner.id) }
        })
    }

    fn read(
        &self,
        key: StoreKey,
        after: Option<EntryId>,
        entries_max: usize,
    ) -> StoreFuture<'_, Vec<Entry>> {
        self.call(|inner| {
            let entries = inner.logs.get(&key).into_iter().flat_map(|log| &log.entries);
            let entries = entries.filter(|(id, _)| after.is_none_or(|after| **id > after));
            let entries = entries.map(|(id, bytes)| Entry { id: *id, bytes: bytes.clone() });
            entries.take(entries_max).collect()
        })
    }

    fn lease(&self, node: NodeId) -> StoreFuture<'_, Option<Lease>> {
        self.call(|inner| {
            let (address, expires_at) = inner.leases.get(&node)?;
            let expires_in = expires_at.saturating_duration_since(Instant::now());
            Some(Lease { address: Arc::clone(address), expires_in })
        })
    }
}

impl Inner {
    fn new() -> Self {
        let id = StoreId(rand::random());
        Self { id, is_away: false, logs: HashMap::new(), leases: HashMap::new() }
    }

    fn expire(&mut self, now: Instant) {
        self.logs.retain(|_, log| log.removed_at > now);
        self.leases.retain(|_, (_, expires_at)| *expires_at > now);
    }

    fn write(&mut self, write: Write, now: Instant) -> Outcome {
        let at = |ttl: Duration| now.checked_add(ttl).unwrap_or(now);
        match write {
            Write::Create { key, id, entry, ttl } => {
                let log = self.logs.entry(key).or_insert_with(|| Log {
                    entries: BTreeMap::new(),
                    last: EntryId { epoch: 0, number: 0 },
                    removed_at: at(ttl),
                });
                let outcome = log.append(id, entry);
                if outcome == Outcome::Written {
                    log.removed_at = at(ttl);
                }
                outcome
            }
            Write::Append { key, id, entry } => {
                let log = self.logs.get_mut(&key);
                log.map_or(Outcome::Missing, |log| log.append(id, entry))
            }
            Write::Trim { key, before } => {
                self.change(key, |log| log.entries = log.entries.split_off(&before));
                Outcome::Written
            }
            Write::Keep { key, ttl } => self.change(key, |log| log.removed_at = at(ttl)),
            Write::Remove { key } => match self.logs.remove(&key) {
                Some(_) => Outcome::Written,
                None => Outcome::Missing,
            },
            Write::Renew { store, .. } if store != self.id => Outcome::Refused,
            Write::Renew { node, address, ttl, store: _ } => {
                match self.leases.insert(node, (address, at(ttl))) {
                    Some(_) => Outcome::Written,
                    None => Outcome::Expired,
                }
            }
            Write::Leave { node } => match self.leases.remove(&node) {
                Some(_) => Outcome::Written,
                None => Outcome::Expired,
            },
        }
    }

    fn change(&mut self, key: StoreKey, change: impl FnOnce(&mut Log)) -> Outcome {
        let Some(log) = self.logs.get_mut(&key) else { return Outcome::Missing };
        change(log);
        Outcome::Written
    }
}

impl Log {
    fn append(&mut self, id: EntryId, entry: Bytes) -> Outcome {
        if id <= self.last {
            return Outcome::Refused;
        }
        self.last = id;
        self.entries.insert(id, entry);
        Outcome::Written
    }
}
