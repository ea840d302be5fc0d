//! Restoration of a session from its log in the store.

use bytes::Bytes;
use rejoin_core::{
    Actions, Instant, Record, RestoreError, Session, Snapshot, ValidConfig, cluster::EntryId,
};
use thiserror::Error;

use super::{
    Cluster,
    entry::{self, Entry, EntryError, Kind, Whole},
};
use crate::{
    ClientMessage, Principal, SessionId,
    store::{StoreAway, StoreKey, Write},
};

/// Number of entries that are read at a time.
const ENTRIES_MAX: usize = 8;

/// A session that was restored.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) core: Session<ClientMessage, Bytes>,
    pub(crate) principal: Option<Principal>,
    pub(crate) initialize: Bytes,
    /// The last entry before that of its epoch.
    pub(crate) through: EntryId,
}

/// A session cannot be restored.
#[derive(Debug, Error)]
pub(crate) enum RestoreFailure {
    #[error(transparent)]
    Away(#[from] StoreAway),
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error(transparent)]
    Session(#[from] RestoreError),
    /// Its owner has closed it before it was claimed.
    #[error("the session is closed")]
    Closed,
    /// The log has no whole session.
    #[error("the log has no snapshot")]
    NoSnapshot,
}

impl Cluster {
    /// Restores a session from the entries before that of `epoch`, which are final.
    pub(crate) async fn restore(
        &self,
        session: SessionId,
        epoch: u64,
        config: ValidConfig,
        now: Instant,
    ) -> Result<Restored, RestoreFailure> {
        // An error means that the semaphore is closed, which it never is.
        let _reads = self.reads.acquire().await;
        let (through, whole, records) = self.read_log(StoreKey::of(session), epoch).await?;
        let principal = whole.principal();
        let Whole { initialize, snapshot, .. } = whole;
        // They concern connections and a backend that this process does not have.
        let mut actions = Actions::new();
        let core =
            Session::restore_with(snapshot, records, self.node.skip(), config, now, &mut actions)?;
        Ok(Restored { core, principal, initialize, through })
    }

    /// Closes a session that was claimed, and that nobody can restore.
    pub(crate) async fn close(&self, session: SessionId, epoch: u64) {
        self.end_claim(session, epoch, Kind::Closed).await;
    }

    /// Releases a session that was claimed, and that this process has no room for.
    pub(crate) async fn release(&self, session: SessionId, epoch: u64) {
        self.end_claim(session, epoch, Kind::Released).await;
    }

    async fn end_claim(&self, session: SessionId, epoch: u64, kind: Kind) {
        let (id, key) = (EntryId { epoch, number: 1 }, StoreKey::of(session));
        let entry = entry::write(kind, self.node, &[]);
        // If that fails, the next request for the session claims it again.
        let _ = self.store.write(Write::Append { key, id, entry }).await;
    }

    /// Returns the last entry of a log before `epoch`, the last whole session, and the records after
    /// it.
    async fn read_log(
        &self,
        key: StoreKey,
        epoch: u64,
    ) -> Result<(EntryId, Whole<Snapshot<Bytes>>, Vec<Record<Bytes>>), RestoreFailure> {
        let mut through = EntryId { epoch: 0, number: 0 };
        let (mut last, mut after): (_, Option<EntryId>) = (None, None);
        let mut records = Vec::new();
        loop {
            let entries = self.store.read(key, after, ENTRIES_MAX).await?;
            let Some(newest) = entries.last() else { break };
            after = Some(newest.id);
            for entry in &entries {
                if entry.id.epoch < epoch {
                    through = entry.id;
                }
                let entry = Entry::read(&entry.bytes)?;
                match entry.kind {
                    Kind::Whole => {
                        records.clear();
                        last = Some(entry.whole()?);
                    }
                    Kind::Records => entry.records(&mut records)?,
                    Kind::Closed => return Err(RestoreFailure::Closed),
                    Kind::Claimed | Kind::Released => {}
                }
            }
        }
        Ok((through, last.ok_or(RestoreFailure::NoSnapshot)?, records))
    }
}
