//! A store that counts how often it is asked who has a session.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rejoin::{
    rejoin_core::cluster::{EntryId, NodeId, StoreId},
    store::{Entry, LastEntry, Lease, MemoryStore, Outcome, Store, StoreFuture, StoreKey, Write},
};

#[derive(Clone, Default)]
pub(crate) struct CountingStore {
    memory: MemoryStore,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Store for CountingStore {
    fn connect(&self) -> StoreFuture<'_, StoreId> {
        self.memory.connect()
    }

    fn write(&self, write: Write) -> StoreFuture<'_, Outcome> {
        self.memory.write(write)
    }

    fn last(&self, key: StoreKey) -> StoreFuture<'_, LastEntry> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.memory.last(key)
    }

    fn read(
        &self,
        key: StoreKey,
        after: Option<EntryId>,
        entries_max: usize,
    ) -> StoreFuture<'_, Vec<Entry>> {
        self.memory.read(key, after, entries_max)
    }

    fn lease(&self, node: NodeId) -> StoreFuture<'_, Option<Lease>> {
        self.memory.lease(node)
    }
}
