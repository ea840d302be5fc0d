//! The simulated store: logs of sessions and leases of nodes, and a replica that is behind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rejoin_core::cluster::{EntryId, NodeId, SessionStatus, StoreId, WriteOutcome};
use rejoin_core::{Instant, Record, Snapshot};

use super::names::SessionNo;

/// Time after which the log of a session is removed, unless its owner keeps it.
pub(super) const STORE_TTL: Duration = Duration::from_secs(600);

/// Time between two files.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

/// An entry of a session.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) owner: NodeId,
    pub(super) content: Content,
    /// Its size.
    pub(super) bytes: usize,
}

impl Entry {
    /// Returns a word for what it has.
    pub(super) fn kind(&self) -> &'static str {
        match self.content {
            Content::Whole(_) => "whole",
            Content::Records(_) => "records",
            Content::Claimed => "claimed",
            Content::Released => "released",
            Content::Closed => "closed",
        }
    }
}

/// What an entry has.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Whole(Box<Snapshot<u64>>),
    Records(Vec<Record<u64>>),
    Claimed,
    Released,
    Closed,
}

/// What a node asks of the store.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Connect,
    Renew { node: NodeId, ttl: Duration, store: StoreId },
    Append { session: SessionNo, id: EntryId, creates: bool, entry: Arc<Entry> },
    Trim { session: SessionNo, before: EntryId },
    Keep { session: SessionNo },
    Remove { session: SessionNo },
    Last { session: SessionNo },
    Lease { node: NodeId },
    Read { session: SessionNo },
}

/// What the store answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Connected {
        store: StoreId,
        starts: u64,
    },
    Renewed {
        had_expired: bool,
    },
    /// The store has another id than the node knows, or none.
    NotRenewed,
    Appended(WriteOutcome),
    Done,
    Last {
        last: Option<Last>,
        store: Option<StoreId>,
    },
    Lease(Option<Duration>),
    Entries(Vec<(EntryId, Arc<Entry>)>),
}

/// The last entry of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) id: EntryId,
    pub(super) owner: NodeId,
    pub(super) status: SessionStatus,
}

/// A store that works or is away.
#[derive(Debug)]
pub(super) struct Store {
    memory: Memory,
    replica: Memory,
    /// As a file has it.
    saved: Memory,
    saved_at: Instant,
    /// What the replica has not got yet.
    lag: VecDeque<(Instant, Operation)>,
    pub(super) is_up: bool,
    pub(super) is_full: bool,
    /// How often it has started: a connection ends with it.
    pub(super) starts: u64,
    /// Since when it works.
    pub(super) up_since: Instant,
    /// The last id that it got.
    last_id: StoreId,
}

/// What a store remembers.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// `None` until a node connects.
    id: Option<StoreId>,
    logs: BTreeMap<SessionNo, Log>,
    leases: BTreeMap<NodeId, Instant>,
}

/// The log of a session.
#[derive(Clone, Debug)]
struct Log {
    entries: BTreeMap<EntryId, Arc<Entry>>,
    /// Stays when its entry is removed.
    last: EntryId,
    removed_at: Instant,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            memory: Memory::default(),
            replica: Memory::default(),
            saved: Memory::default(),
            saved_at: Instant::EPOCH,
            lag: VecDeque::new(),
            is_up: true,
            is_full: false,
            starts: 0,
            up_since: Instant::EPOCH,
            last_id: StoreId(0),
        }
    }

    /// Carries out an operation.
    pub(super) fn carry_out(&mut self, operation: &Operation, now: Instant) -> Answer {
        let is_append = matches!(operation, Operation::Append { .. });
        if self.is_full && is_append {
            return Answer::Appended(WriteOutcome::Full);
        }
        if now >= self.saved_at.saturating_add(SAVE_INTERVAL) {
            (self.saved, self.saved_at) = (self.memory.clone(), now);
        }
        if operation.is_write() {
            self.lag.push_back((now, operation.clone()));
        }
        if let Operation::Connect = operation {
            let store = self.give_id();
            return Answer::Connected { store, starts: self.starts };
        }
        self.memory.carry_out(operation, now)
    }

    /// Returns the id, which the store gets if it has none.
    fn give_id(&mut self) -> StoreId {
        let id = *self.memory.id.get_or_insert_with(|| {
            self.last_id = StoreId(self.last_id.0 + 1);
            self.last_id
        });
        self.replica.id = Some(id);
        id
    }

    /// Lets the replica catch up, except for what was written within `lag`.
    pub(super) fn replicate(&mut self, now: Instant, lag: Duration) {
        while let Some((at, operation)) =
            self.lag.pop_front_if(|(at, _)| at.saturating_add(lag) <= now)
        {
            self.replica.carry_out(&operation, at);
        }
    }

    /// Goes away.
    pub(super) fn stop(&mut self) {
        self.is_up = false;
        self.starts += 1;
    }

    /// Starts with what it remembered, or what its replica did, or nothing. Returns whether
    /// something was forgotten.
    pub(super) fn start(&mut self, now: Instant, memory: Remembered) -> bool {
        self.is_up = true;
        self.is_full = false;
        self.up_since = now;
        let forgets = match memory {
            Remembered::All => false,
            Remembered::Replicated => {
                let forgets = !self.lag.is_empty();
                self.memory = self.replica.clone();
                forgets
            }
            Remembered::Saved => {
                self.memory = self.saved.clone();
                self.replica = self.saved.clone();
                true
            }
            Remembered::Nothing => {
                self.memory = Memory::default();
                self.replica = Memory::default();
                true
            }
        };
        if forgets {
            self.lag.clear();
        }
        self.memory.expire(now);
        forgets
    }

    /// Forgets one session.
    pub(super) fn evict(&mut self, session: SessionNo) -> bool {
        let operation = Operation::Remove { session };
        self.lag.push_back((Instant::EPOCH, operation));
        self.memory.logs.remove(&session).is_some()
    }

    /// Lets all leases expire.
    pub(super) fn expire_leases(&mut self) {
        self.memory.leases.clear();
        self.replica.leases.clear();
    }

    /// Returns the last entry of a session.
    pub(super) fn last(&self, session: SessionNo) -> Option<Last> {
        self.memory.last(session)
    }

    /// Returns whether a node has a lease.
    pub(super) fn has_lease(&self, node: NodeId, now: Instant) -> bool {
        self.memory.leases.get(&node).is_some_and(|expires_at| *expires_at > now)
    }

    /// Returns the entries of a session.
    pub(super) fn entries(&self, session: SessionNo) -> impl Iterator<Item = &Arc<Entry>> {
        self.memory.logs.get(&session).into_iter().flat_map(|log| log.entries.values())
    }

    /// Returns the sessions that it has.
    pub(super) fn sessions(&mut self, now: Instant) -> Vec<SessionNo> {
        self.memory.expire(now);
        self.memory.logs.keys().copied().collect()
    }
}

/// What a store remembers that starts again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Remembered {
    All,
    Replicated,
    Saved,
    Nothing,
}

impl Operation {
    fn is_write(&self) -> bool {
        match self {
            Self::Renew { .. }
            | Self::Append { .. }
            | Self::Trim { .. }
            | Self::Keep { .. }
            | Self::Remove { .. } => true,
            Self::Connect | Self::Last { .. } | Self::Lease { .. } | Self::Read { .. } => false,
        }
    }
}

impl Memory {
    fn expire(&mut self, now: Instant) {
        self.logs.retain(|_, log| log.removed_at > now);
        self.leases.retain(|_, expires_at| *expires_at > now);
    }

    fn last(&self, session: SessionNo) -> Option<Last> {
        let (id, entry) = self.logs.get(&session)?.entries.last_key_value()?;
        let status = match entry.content {
            Content::Whole(_) | Content::Records(_) | Content::Claimed => SessionStatus::Owned,
            Content::Released => SessionStatus::Released,
            Content::Closed => SessionStatus::Closed,
        };
        Some(Last { id: *id, owner: entry.owner, status })
    }

    fn carry_out(&mut self, operation: &Operation, now: Instant) -> Answer {
        self.expire(now);
        match *operation {
            // The store itself answers this.
            Operation::Connect => Answer::Done,
            Operation::Renew { node, ttl, store } => {
                if self.id != Some(store) {
                    return Answer::NotRenewed;
                }
                let before = self.leases.insert(node, now.saturating_add(ttl));
                Answer::Renewed { had_expired: before.is_none() }
            }
            Operation::Append { session, id, creates, ref entry } => {
                Answer::Appended(self.append(session, id, creates, entry, now))
            }
            Operation::Trim { session, before } => {
                if let Some(log) = self.logs.get_mut(&session) {
                    log.entries = log.entries.split_off(&before);
                }
                Answer::Done
            }
            Operation::Keep { session } => {
                if let Some(log) = self.logs.get_mut(&session) {
                    log.removed_at = now.saturating_add(STORE_TTL);
                }
                Answer::Done
            }
            Operation::Remove { session } => {
                self.logs.remove(&session);
                Answer::Done
            }
            Operation::Last { session } => {
                Answer::Last { last: self.last(session), store: self.id }
            }
            Operation::Lease { node } => {
                Answer::Lease(self.leases.get(&node).map(|expires_at| expires_at.since(now)))
            }
            Operation::Read { session } => {
                let logs = self.logs.get(&session).into_iter();
                let entries = logs.flat_map(|log| &log.entries);
                Answer::Entries(entries.map(|(id, entry)| (*id, Arc::clone(entry))).collect())
            }
        }
    }

    fn append(
        &mut self,
        session: SessionNo,
        id: EntryId,
        creates: bool,
        entry: &Arc<Entry>,
        now: Instant,
    ) -> WriteOutcome {
        if creates && !self.logs.contains_key(&session) {
            let last = EntryId { epoch: 0, number: 0 };
            let removed_at = now.saturating_add(STORE_TTL);
            self.logs.insert(session, Log { entries: BTreeMap::new(), last, removed_at });
        }
        let Some(log) = self.logs.get_mut(&session) else { return WriteOutcome::Missing };
        if id <= log.last {
            return WriteOutcome::Refused;
        }
        log.last = id;
        log.entries.insert(id, Arc::clone(entry));
        WriteOutcome::Written
    }
}
