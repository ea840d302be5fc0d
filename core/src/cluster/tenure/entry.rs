//! Entries of a session in the store.

use crate::cluster::EntryId;

/// What an entry of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The whole session: what is before it is not needed.
    Whole,
    /// The records since the entry before, of which there may be none.
    Records,
    /// Its owner has given the session up, for any other process to take over.
    Released,
    /// The session is closed.
    Closed,
}

/// What became of an entry that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It was written.
    Written,
    /// The log has an entry whose id is not lower.
    Refused,
    /// The store does not have the session.
    Missing,
    /// The store has no room for it.
    Full,
}

/// The last entry of the session in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEntry {
    /// Its id.
    pub id: EntryId,
    /// Whether this process has written it. A store that has forgotten a claim accepts another one
    /// in the same epoch.
    pub is_own: bool,
    /// Whether it says that the session is closed.
    pub is_closed: bool,
}
