//! What the driver must do for a session in the store.

use smallvec::SmallVec;

use super::EntryKind;
use crate::cluster::EntryId;

/// What the driver must do for a session, in this order.
pub type TenureActions = SmallVec<[TenureAction; 3]>;

/// Something that the driver must do for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenureAction {
    /// Write an entry, and report what becomes of it: [`Tenure::on_answer`](super::Tenure::on_answer).
    /// Pending records are part of it, and are dropped for a whole session.
    Write {
        /// Its id.
        id: EntryId,
        /// What it is.
        kind: EntryKind,
        /// Whether the log is created if the store has none.
        creates: bool,
    },
    /// All records of the entry that was in flight are committed.
    Committed,
    /// Remove the entries before this one.
    Trim {
        /// The first entry that stays.
        before: EntryId,
    },
    /// Remove the log.
    Remove,
    /// Ask the store for the last entry: [`Tenure::on_last_entry`](super::Tenure::on_last_entry).
    Ask,
    /// The session was handed over, or is closed in the store.
    Ended,
    /// Cut the connections of the session, end its backend and forget it. Nothing more is sent.
    GiveUp {
        /// Why.
        reason: GiveUpReason,
    },
}

/// Why a process gives up a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUpReason {
    /// Another process has taken it over.
    TakenOver,
    /// Another process has taken it over, and closed it.
    Closed,
}
