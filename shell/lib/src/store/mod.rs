//! Stores: what another process needs to go on with the sessions of one that has ended.
//!
//! A store has a log of entries for each session. The id of an entry is the fence: a store appends
//! only an entry whose id is higher than that of the last one, so a process that has lost a session
//! to another, which writes in a higher epoch, cannot write to it any more, and no entry is written
//! twice.

mod config;
mod key;
mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use rejoin_core::cluster::{EntryId, NodeId, StoreId};
use thiserror::Error;

#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreConfig, RedisStoreError};
pub use self::{
    config::{StoreConfig, Takeover},
    key::StoreKey,
    memory::MemoryStore,
};

/// A store of sessions.
///
/// It is called by the task of a node, and by one for each session that is looked for. Calls may be
/// carried out in any order while they wait for their answers: a session has at most one entry in flight.
pub trait Store: Send + Sync + 'static {
    /// Connects, after the store was away, and returns the id of the store, which it gets if it has
    /// none. Until then, every call fails: a connection that heals by itself would hide what was lost with
    /// the one before.
    fn connect(&self) -> StoreFuture<'_, StoreId>;

    /// Writes, and returns what became of it. After an error it is not known.
    fn write(&self, write: Write) -> StoreFuture<'_, Outcome>;

    /// Returns the last entry of a session, and the id that the store has now.
    fn last(&self, key: StoreKey) -> StoreFuture<'_, LastEntry>;

    /// Returns the entries of a session after `after`, the oldest first, at most `entries_max`.
    fn read(
        &self,
        key: StoreKey,
        after: Option<EntryId>,
        entries_max: usize,
    ) -> StoreFuture<'_, Vec<Entry>>;

    /// Returns the lease of a node, unless it has expired.
    fn lease(&self, node: NodeId) -> StoreFuture<'_, Option<Lease>>;
}

/// What a store returns.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreAway>> + Send + 'a>>;

/// The store cannot be reached, or does not work. It has to be connected again.
#[derive(Clone, Debug, Error)]
#[error("the store is away: {0}")]
pub struct StoreAway(Arc<str>);

impl StoreAway {
    /// Returns an error with a reason for the log.
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self(reason.into())
    }
}

/// Something to write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Appends an entry. If the session has no log, that is created with it.
    Create {
        /// The session.
        key: StoreKey,
        /// The id of the entry.
        id: EntryId,
        /// The entry.
        entry: Bytes,
        /// Time after which the log is removed.
        ttl: Duration,
    },
    /// Appends an entry to a log that exists.
    Append {
        /// The session.
        key: StoreKey,
        /// The id of the entry.
        id: EntryId,
        /// The entry.
        entry: Bytes,
    },
    /// Removes the entries before this one, if there are any.
    Trim {
        /// The session.
        key: StoreKey,
        /// The first entry that stays.
        before: EntryId,
    },
    /// Keeps a log for longer.
    Keep {
        /// The session.
        key: StoreKey,
        /// Time after which the log is removed, from now on.
        ttl: Duration,
    },
    /// Removes a log.
    Remove {
        /// The session.
        key: StoreKey,
    },
    /// Renews the lease of a node.
    Renew {
        /// The node.
        node: NodeId,
        /// How others reach it.
        address: Arc<str>,
        /// Time after which the lease expires, from now on.
        ttl: Duration,
        /// The id of the store. If it has another one, or none, the lease is not renewed.
        store: StoreId,
    },
    /// Ends the lease of a node, which has handed its sessions over.
    Leave {
        /// The node.
        node: NodeId,
    },
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Written,
    /// The log has an entry whose id is not lower, or the store has another id.
    Refused,
    /// There is no such log.
    Missing,
    /// The lease was renewed after it had expired.
    Expired,
    /// The store has no room for it.
    Full,
}

/// An entry of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// What was written.
    pub bytes: Bytes,
}

/// The last entry of a session, and the store that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEntry {
    /// `None` if there is no log, or all of its entries were removed.
    pub entry: Option<Entry>,
    /// `None` if the store has forgotten its id, and so everything.
    pub store: Option<StoreId>,
}

/// The lease of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How others reach the node.
    pub address: Arc<str>,
    /// Time until it expires.
    pub expires_in: Duration,
}
