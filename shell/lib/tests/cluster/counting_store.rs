//! A store that counts how often it is asked who has a session, can lose an answer, and can be slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rejoin::{
    rejoin_core::cluster::{EntryId, NodeId, StoreId},
    store::{
        Entry, LastEntry, Lease, MemoryStore, Outcome, Store, StoreAway, StoreFuture, StoreKey,
        Write,
    },
};

#[derive(Clone, Default)]
pub(crate) struct CountingStore {
    pub(crate) memory: MemoryStore,
    pub(crate) asked: Arc<AtomicUsize>,
    /// Whether the answer to the next claim is lost.
    pub(crate) loses_claim: Arc<AtomicBool>,
    /// Time that each write takes.
    pub(crate) write_time: Duration,
}

impl CountingStore {
    pub(crate) fn of(memory: MemoryStore) -> Self {
        Self { memory, ..Self::default() }
    }
}

impl Store for CountingStore {
    fn connect(&self) -> StoreFuture<'_, StoreId> {
        self.memory.connect()
    }

    fn write(&self, write: Write) -> StoreFuture<'_, Outcome> {
        Box::pin(async move {
            let is_claim = matches!(&write, Write::Append { id, .. } if id.number == 0);
            if !self.write_time.is_zero() {
                tokio::time::sleep(self.write_time).await;
            }
            let outcome = self.memory.write(write).await;
            if is_claim && self.loses_claim.swap(false, Ordering::SeqCst) {
                return Err(StoreAway::new("the answer to a claim is lost"));
            }
            outcome
        })
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
