//! What a session requires of its store.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use rejoin_core::{
    Instant, Record, Session,
    cluster::{EntryId, EntryKind},
};

use crate::{
    Principal, byte_counter::ByteCounter, payload::Payload, session::inner::SessionInner,
    store::StoreKey,
};

/// What writes the sessions of a manager to a store.
pub(crate) trait SessionStore<P: Payload>: fmt::Debug + Send + Sync {
    /// Returns how often the lease of this process has expired.
    fn leases_lost(&self) -> u64;

    /// Returns whether the lease of this process is valid at `now`.
    fn holds_lease(&self, now: Instant) -> bool;

    /// Returns the `initialize` request, to be kept with its session.
    fn initialize(&self, request: &P::Client) -> Bytes;

    /// Appends a record to the payload of an entry.
    fn write_record(&self, record: &Record<P::Server>, payload: &mut Vec<u8>);

    /// Returns the entry of a whole session.
    fn write_whole(
        &self,
        core: &Session<P::Client, P::Server>,
        principal: Option<&Principal>,
        initialize: &Bytes,
    ) -> Bytes;

    /// Returns another entry.
    fn write_entry(&self, kind: EntryKind, payload: &[u8]) -> Bytes;

    /// Returns the bytes of records of all sessions that wait for the entries before them.
    fn pending(&self) -> &ByteCounter;

    /// Does what a session requires, and reports the outcome to it. Called without its lock.
    fn start(&self, session: &Arc<SessionInner<P>>, job: StoreJob);
}

/// What a session requires of its store.
#[derive(Debug)]
pub(crate) enum StoreJob {
    /// Let what was recorded be written, soon: [`SessionInner::write_records`]. What is recorded until
    /// then is in the same entry.
    Write,
    /// Append an entry: [`SessionInner::on_written`].
    Append { key: StoreKey, id: EntryId, entry: Bytes, creates: bool },
    /// Remove the entries before this one.
    Trim { before: EntryId },
    /// Ask for the last entry: [`SessionInner::on_last_entry`].
    Ask,
    /// The session is closed, and the store does not know it yet: tell the session when the store can
    /// be reached again.
    Track,
    /// Extend the TTL of the log.
    Extend,
    /// Remove the log.
    Remove,
    /// Nothing more is written.
    Forget,
}
