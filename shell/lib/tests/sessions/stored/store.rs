//! A store in memory, that one manager can lose and that can be made to wait.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rejoin::{
    SessionHandle,
    rejoin_core::cluster::{EntryId, NodeId, StoreId},
    store::{
        Entry, LastEntry, Lease, MemoryStore, Outcome, Store, StoreAway, StoreFuture, StoreKey,
        Write,
    },
};
use tokio::sync::watch;

/// A clone is a connection of the same manager; [`Self::other`] is that of another one.
#[derive(Clone)]
pub(crate) struct TestStore {
    memory: MemoryStore,
    is_cut: Arc<AtomicBool>,
    is_slow: watch::Sender<bool>,
    /// Whether renewals of the lease wait, and how many do.
    renewals: watch::Sender<(bool, usize)>,
    is_paused: watch::Sender<bool>,
    is_reading: watch::Sender<bool>,
    /// Who has renewed its lease last.
    node: Arc<Mutex<Option<NodeId>>>,
    /// The number of calls for a last entry, now and at most.
    looks: Arc<(AtomicUsize, AtomicUsize)>,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        Self::of(MemoryStore::default())
    }

    fn of(memory: MemoryStore) -> Self {
        Self {
            memory,
            is_cut: Arc::default(),
            is_slow: watch::Sender::new(false),
            renewals: watch::Sender::default(),
            is_paused: watch::Sender::new(false),
            is_reading: watch::Sender::new(false),
            node: Arc::default(),
            looks: Arc::default(),
        }
    }

    /// Returns the connection of another manager.
    pub(crate) fn other(&self) -> Self {
        Self::of(self.memory.clone())
    }

    /// Makes every call of this manager fail, or not any more.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    /// Makes entries of this manager wait, or not any more.
    pub(crate) fn delay_entries(&self, is_slow: bool) {
        self.is_slow.send_replace(is_slow);
    }

    /// Makes renewals of the lease of this manager wait, and waits until one does.
    pub(crate) async fn hold_renewals(&self) {
        self.renewals.send_modify(|(are_held, _)| *are_held = true);
        self.renewals.subscribe().wait_for(|(_, waiting)| *waiting > 0).await.unwrap();
    }

    /// Lets them go on.
    pub(crate) fn release_renewals(&self) {
        self.renewals.send_modify(|(are_held, _)| *are_held = false);
    }

    /// Makes whatever this manager writes wait, except claims, or not any more: like a process that is
    /// paused.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.is_paused.send_replace(is_paused);
    }

    /// Makes this manager wait for what it has read of logs, or not any more.
    pub(crate) fn delay_logs(&self, is_reading: bool) {
        self.is_reading.send_replace(is_reading);
    }

    /// Forgets everything, for all managers.
    pub(crate) fn forget(&self) {
        self.memory.forget();
    }

    /// Returns the size of what the store has of a session.
    pub(crate) async fn bytes(&self, session: &SessionHandle) -> usize {
        self.log(session).await.iter().map(Bytes::len).sum()
    }

    /// Returns what the store has of a session.
    pub(crate) async fn log(&self, session: &SessionHandle) -> Vec<Bytes> {
        let entries = self.memory.read(StoreKey::of(session.id()), None, usize::MAX).await.unwrap();
        entries.into_iter().map(|entry| entry.bytes).collect()
    }

    /// Appends an entry that no manager has written.
    pub(crate) async fn append(&self, session: &SessionHandle, id: EntryId, entry: Bytes) {
        let append = Write::Append { key: StoreKey::of(session.id()), id, entry };
        assert_eq!(self.memory.write(append).await.unwrap(), Outcome::Written);
    }

    /// Returns whether the manager has a lease.
    pub(crate) async fn has_lease(&self) -> bool {
        let node = self.node.lock().unwrap().unwrap();
        self.memory.lease(node).await.unwrap().is_some()
    }

    /// Returns for how many last entries this manager has asked at a time, at most.
    pub(crate) fn looks_max(&self) -> usize {
        self.looks.1.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreAway> {
        if self.is_cut.load(Ordering::SeqCst) { Err(StoreAway::new("cut")) } else { Ok(()) }
    }
}

impl Store for TestStore {
    fn connect(&self) -> StoreFuture<'_, StoreId> {
        Box::pin(async {
            self.check()?;
            self.memory.connect().await
        })
    }

    fn write(&self, write: Write) -> StoreFuture<'_, Outcome> {
        Box::pin(async move {
            self.check()?;
            if matches!(write, Write::Create { .. } | Write::Append { .. }) {
                let mut is_slow = self.is_slow.subscribe();
                is_slow.wait_for(|is_slow| !is_slow).await.unwrap();
            }
            if let Write::Renew { node, .. } = &write {
                *self.node.lock().unwrap() = Some(*node);
                let mut renewals = self.renewals.subscribe();
                self.renewals.send_modify(|(_, waiting)| *waiting += 1);
                renewals.wait_for(|(are_held, _)| !are_held).await.unwrap();
                self.renewals.send_modify(|(_, waiting)| *waiting -= 1);
            }
            let is_claim = matches!(&write, Write::Append { id, .. } if id.number == 0);
            if !is_claim {
                let mut is_paused = self.is_paused.subscribe();
                is_paused.wait_for(|is_paused| !is_paused).await.unwrap();
            }
            self.memory.write(write).await
        })
    }

    fn last(&self, key: StoreKey) -> StoreFuture<'_, LastEntry> {
        Box::pin(async move {
            self.check()?;
            let (now, max) = &*self.looks;
            max.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            self.memory.last(key).await
        })
    }

    fn read(
        &self,
        key: StoreKey,
        after: Option<EntryId>,
        entries_max: usize,
    ) -> StoreFuture<'_, Vec<Entry>> {
        Box::pin(async move {
            self.check()?;
            let entries = self.memory.read(key, after, entries_max).await;
            let mut is_reading = self.is_reading.subscribe();
            is_reading.wait_for(|is_reading| !is_reading).await.unwrap();
            entries
        })
    }

    fn lease(&self, node: NodeId) -> StoreFuture<'_, Option<Lease>> {
        Box::pin(async move {
            self.check()?;
            self.memory.lease(node).await
        })
    }
}
