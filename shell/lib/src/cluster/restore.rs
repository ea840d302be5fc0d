//! Restoration of a session from its log in the store.

use bytes::Bytes;
use rejoin_core::{
    Actions, Instant, Record, RestoreError, Session, Snapshot, ValidConfig,
    cluster::{EntryId, Tenure},
};
use thiserror::Error;

use super::{
    Cluster,
    entry::{self, Entry, EntryError, Kind, Whole},
};
use crate::{
    ClientMessage, Principal, SessionId,
    store::{self, StoreAway, StoreKey, Write},
};

/// Number of entries that are read at a time.
const ENTRIES_MAX: usize = 8;

/// How many times as long a log may be as what its session may keep, since it was written as a whole last.
const LOG_FACTOR: usize = 4;

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
    /// Another process has claimed it since.
    #[error("another process has taken the session over meanwhile")]
    TakenOver,
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
        let log = self.read_log(StoreKey::of(session), epoch, log_bytes_max(&config)).await?;
        let takeovers = {
            let mut state = self.state.lock();
            state.restorations += 1;
            state.restorations
        };
        log.restore(self.node.skip(takeovers), config, now)
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

    /// Reads a log to its end.
    async fn read_log(
        &self,
        key: StoreKey,
        epoch: u64,
        bytes_max: usize,
    ) -> Result<SessionLog, RestoreFailure> {
        let (mut log, mut after) = (SessionLog::new(epoch), None);
        loop {
            let entries = self.store.read(key, after, ENTRIES_MAX).await?;
            let Some(newest) = entries.last() else { return Ok(log) };
            after = Some(newest.id);
            for entry in &entries {
                log.add(entry)?;
                if log.bytes > bytes_max {
                    return Err(EntryError::Invalid("the log is too long".to_owned()).into());
                }
            }
        }
    }
}

/// Returns the maximum length of a log. A message may exceed what a session may keep, and a session
/// that was written as a whole is followed by as many bytes of records, and by an entry with those that
/// waited for it.
fn log_bytes_max(config: &ValidConfig) -> usize {
    let kept = config.session_bytes_max.saturating_add(config.message_bytes_max);
    kept.max(Tenure::PENDING_BYTES_MAX).saturating_mul(LOG_FACTOR)
}

/// The log of a session, as far as it was read.
#[derive(Debug)]
pub(crate) struct SessionLog {
    /// The epoch in which the session is restored.
    epoch: u64,
    /// The last entry before it.
    through: EntryId,
    whole: Option<Whole<Snapshot<Bytes>>>,
    /// Those since then.
    records: Vec<Record<Bytes>>,
    /// Bytes of the entries of both.
    bytes: usize,
}

impl SessionLog {
    pub(crate) fn new(epoch: u64) -> Self {
        let through = EntryId { epoch: 0, number: 0 };
        Self { epoch, through, whole: None, records: Vec::new(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, entry: &store::Entry) -> Result<(), RestoreFailure> {
        if entry.id.epoch > self.epoch {
            return Err(RestoreFailure::TakenOver);
        }
        if entry.id.epoch < self.epoch {
            self.through = entry.id;
        }
        let bytes = entry.bytes.len();
        let entry = Entry::read(&entry.bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        match entry.kind {
            Kind::Whole => {
                self.bytes = bytes;
                self.records.clear();
                self.whole = Some(entry.whole()?);
            }
            Kind::Records => entry.records(&mut self.records)?,
            Kind::Closed => return Err(RestoreFailure::Closed),
            Kind::Claimed | Kind::Released => {}
        }
        Ok(())
    }

    pub(crate) fn restore(
        self,
        skip: u64,
        config: ValidConfig,
        now: Instant,
    ) -> Result<Restored, RestoreFailure> {
        let whole = self.whole.ok_or(RestoreFailure::NoSnapshot)?;
        let principal = whole.principal();
        let Whole { initialize, snapshot, .. } = whole;
        // They concern connections and a backend that this process does not have.
        let mut actions = Actions::new();
        let core = Session::restore_with(snapshot, self.records, skip, config, now, &mut actions)?;
        Ok(Restored { core, principal, initialize, through: self.through })
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::cluster::NodeId;

    use super::*;

    #[test]
    fn entries_of_later_epochs_are_not_read() {
        let entry = |epoch, bytes| store::Entry { id: EntryId { epoch, number: 0 }, bytes };
        let mut log = SessionLog::new(2);
        log.add(&entry(2, entry::write(Kind::Claimed, NodeId(1), &[]))).unwrap();
        for bytes in [entry::write(Kind::Closed, NodeId(2), &[]), Bytes::from_static(b"later")] {
            let added = log.add(&entry(3, bytes));
            assert!(matches!(added, Err(RestoreFailure::TakenOver)), "{added:?}");
        }
    }
}
