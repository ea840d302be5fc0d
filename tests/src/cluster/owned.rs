//! A session at its owner.

use std::collections::BTreeMap;

use rejoin_core::cluster::{EntryId, Tenure};
use rejoin_core::{ConnectionId, Instant, Record, Session};

use super::names::{BackendNo, ExchangeNo};

/// A session, and what its owner has of it besides.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) session: Session<u64>,
    /// `None` until the answer to `initialize` is there.
    pub(super) tenure: Option<Tenure>,
    /// Records that wait for the next entry.
    pub(super) pending: Vec<Record<u64>>,
    pub(super) pending_bytes: usize,
    pub(super) largest_record: usize,
    pub(super) largest_batch: usize,
    /// The number of the last record.
    pub(super) recorded: u64,
    pub(super) in_flight: Option<InFlight>,
    /// Whether a trim may not have arrived since the last whole session.
    pub(super) has_lost_trim: bool,
    pub(super) backend: Option<BackendNo>,
    pub(super) exchanges: BTreeMap<ConnectionId, ExchangeNo>,
    pub(super) next_connection: u64,
    /// Requests that wait for the end of a doubt.
    pub(super) waiting: Vec<ExchangeNo>,
    /// DELETE requests that wait until the session is closed in the store.
    pub(super) deleting: Vec<ExchangeNo>,
    /// The exchange of `initialize`, until the session is in the store.
    pub(super) initializing: Option<ExchangeNo>,
    /// How often the lease of the node had been lost when the session was last known to be its own.
    pub(super) confirmed_lapses: u64,
    /// When the log is kept for longer.
    pub(super) keep_at: Instant,
    /// When an entry is written again for which there was no room.
    pub(super) retry_at: Option<Instant>,
    pub(super) is_closed: bool,
}

/// An entry in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) id: EntryId,
    /// The last record that it has.
    pub(super) through: u64,
}

impl Owned {
    pub(super) fn new(session: Session<u64>, now: Instant) -> Self {
        Self {
            session,
            tenure: None,
            pending: Vec::new(),
            pending_bytes: 0,
            largest_record: 0,
            largest_batch: 0,
            recorded: 0,
            in_flight: None,
            has_lost_trim: false,
            backend: None,
            exchanges: BTreeMap::new(),
            next_connection: 1,
            waiting: Vec::new(),
            deleting: Vec::new(),
            initializing: None,
            confirmed_lapses: 0,
            keep_at: now,
            retry_at: None,
            is_closed: false,
        }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.tenure.as_ref().is_some_and(Tenure::is_in_doubt)
    }
}
