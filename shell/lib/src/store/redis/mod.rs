//! A store on Valkey, or Redis 6.2 and later.

mod config;
mod connector;
mod reply;
#[cfg(feature = "redis-tls")]
mod tls;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, RedisWrite as _, aio::MultiplexedConnection, cmd, pipe};
use rejoin_core::cluster::{EntryId, NodeId, StoreId};
use tracing::warn;

pub use self::config::{RedisStoreConfig, RedisStoreError};
use self::{
    connector::{Connection, Connector},
    reply::{Entries, entries, invalid, outcome_of_append, refusal},
};
use super::{Entry, LastEntry, Lease, Outcome, Store, StoreAway, StoreFuture, StoreKey, Write};

/// How many times as long a part of a log may take as another response: it has up to some MiB.
const LOG_TIMEOUTS: u32 = 10;

/// Bytes of an entry, above which it may take as long as a part of a log.
const LONG_ENTRY_BYTES: usize = 1 << 20;

/// Key of the id of the store, after the prefix.
const STORE_ID: &str = "store";

/// The field of an entry.
const FIELD: &str = "e";

/// Number of arguments of the command that appends an entry, and their size without key and entry.
const APPEND_ARGUMENTS: usize = 6;
const APPEND_BYTES: usize = 64;

/// A store on a server that speaks the protocol of Redis.
///
/// It uses `XADD`, `XTRIM`, `XRANGE`, `XREVRANGE`, `PEXPIRE`, `UNLINK`, `MULTI`, `EXEC`, `SET`, `GET`,
/// `GETEX`, `PTTL` and `DEL`, if it may `CONFIG GET`, and one key for each session.
pub struct RedisStore {
    connector: Connector,
    prefix: String,
    timeout: Duration,
    connections: Mutex<Option<Connections>>,
    /// The number of attempts to connect.
    attempts: AtomicU64,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The connections: a long log, or a long entry, must not delay anything else.
#[derive(Clone)]
struct Connections {
    /// The number of the attempt that has opened them.
    attempt: u64,
    writes: Connection,
    reads: Connection,
    logs: Connection,
}

impl RedisStore {
    /// Returns a store, which is not connected.
    ///
    /// # Errors
    ///
    /// The configuration is invalid.
    pub fn new(config: RedisStoreConfig) -> Result<Self, RedisStoreError> {
        Ok(Self {
            connector: Connector::new(&config)?,
            prefix: config.prefix,
            timeout: config.timeout,
            connections: Mutex::default(),
            attempts: AtomicU64::new(0),
        })
    }

    async fn open(&self) -> Result<StoreId, RedisError> {
        *self.connections.lock() = None;
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let mut writes = self.connector.connect(self.timeout).await?;
        let mut reads = self.connector.connect(self.timeout).await?;
        let log_timeout = self.timeout.saturating_mul(LOG_TIMEOUTS);
        let logs = self.connector.connect(log_timeout).await?;
        let id = self.store_id(&mut writes.redis).await?;
        check_eviction(&mut reads.redis).await;
        *self.connections.lock() = Some(Connections { attempt, writes, reads, logs });
        Ok(id)
    }

    /// Returns the id of the store, which it gets if it has none.
    async fn store_id(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<StoreId, RedisError> {
        let key = self.key(STORE_ID);
        let get = || cmd("GET").arg(&key).to_owned();
        let mut id: Option<String> = get().query_async(connection).await?;
        if id.is_none() {
            // Only then, because a server without room refuses it.
            let mut set = cmd("SET");
            set.arg(&key).arg(StoreId(rand::random()).to_string()).arg("NX");
            let () = set.query_async(connection).await?;
            id = get().query_async(connection).await?;
        }
        let id = id.and_then(|id| id.parse().ok());
        id.ok_or_else(|| invalid("the id of the store"))
    }

    fn key(&self, name: impl fmt::Display) -> String {
        format!("{}{name}", self.prefix)
    }

    fn session(&self, key: StoreKey) -> String {
        self.key(format_args!("session:{key}"))
    }

    fn node(&self, node: NodeId) -> String {
        self.key(format_args!("node:{node}"))
    }

    fn connections(&self) -> Result<Connections, StoreAway> {
        self.connections.lock().clone().ok_or_else(|| StoreAway::new("not connected"))
    }

    /// Returns the connection for a write, and the attempt that has opened it.
    fn writes(&self, write: &Write) -> Result<(Connection, u64), StoreAway> {
        let is_long = matches!(
            write,
            Write::Create { entry, .. } | Write::Append { entry, .. } if entry.len() > LONG_ENTRY_BYTES
        );
        let connections = self.connections.lock();
        let connections = connections.as_ref().ok_or_else(|| StoreAway::new("not connected"))?;
        let writes = if is_long { &connections.logs } else { &connections.writes };
        Ok((writes.clone(), connections.attempt))
    }

    /// Returns the error of a call. Its connections are not used any more: after a timeout, a response
    /// may come late, and a server that refuses commands needs somebody to look.
    fn away(&self, attempt: u64, error: &RedisError) -> StoreAway {
        // Others may have been opened since.
        self.connections.lock().take_if(|connections| connections.attempt == attempt);
        StoreAway::new(error.to_string())
    }

    fn append(&self, key: StoreKey, id: EntryId, entry: &Bytes, creates: bool) -> Cmd {
        let session = self.session(key);
        let size = session.len().saturating_add(entry.len()).saturating_add(APPEND_BYTES);
        let mut append = Cmd::with_capacity(APPEND_ARGUMENTS, size);
        append.arg("XADD").arg(session);
        if !creates {
            append.arg("NOMKSTREAM");
        }
        append.write_arg_fmt(id);
        append.arg(FIELD).arg(&entry[..]);
        append
    }

    async fn write_with(
        &self,
        connection: &mut MultiplexedConnection,
        write: Write,
    ) -> Result<Outcome, RedisError> {
        match write {
            Write::Create { key, id, entry, ttl } => {
                // In one transaction, so that no log is left without a TTL.
                let mut create = pipe();
                create.atomic().add_command(self.append(key, id, &entry, true));
                create.add_command(expire(&self.session(key), ttl));
                outcome_of_append(create.query_async(connection).await)
            }
            Write::Append { key, id, entry } => {
                let append = self.append(key, id, &entry, false);
                outcome_of_append(append.query_async(connection).await)
            }
            Write::Trim { key, before } => {
                let mut trim = cmd("XTRIM");
                trim.arg(self.session(key)).arg("MINID").arg(before.to_string());
                let _removed: u64 = trim.query_async(connection).await?;
                Ok(Outcome::Written)
            }
            Write::Keep { key, ttl } => {
                let is_kept = expire(&self.session(key), ttl).query_async(connection).await?;
                Ok(if is_kept { Outcome::Written } else { Outcome::Missing })
            }
            Write::Remove { key } => {
                let was_there =
                    cmd("UNLINK").arg(self.session(key)).query_async(connection).await?;
                Ok(if was_there { Outcome::Written } else { Outcome::Missing })
            }
            Write::Renew { node, address, ttl, store } => {
                // Unlike `SET`, a server without room accepts `GETEX`.
                let (mut id, mut lease) = (cmd("GET"), cmd("GETEX"));
                id.arg(self.key(STORE_ID));
                lease.arg(self.node(node)).arg("PX").arg(milliseconds(ttl));
                let mut renew = pipe();
                renew.add_command(id).add_command(lease);
                let (id, lease): (Option<String>, Option<String>) =
                    renew.query_async(connection).await?;
                if id.as_deref() != Some(&*store.to_string()) {
                    return Ok(Outcome::Refused);
                }
                if lease.is_some() {
                    return Ok(Outcome::Written);
                }
                let mut set = cmd("SET");
                set.arg(self.node(node)).arg(&*address).arg("PX").arg(milliseconds(ttl));
                let () = set.query_async(connection).await?;
                Ok(Outcome::Expired)
            }
            Write::Leave { node } => {
                let was_there = cmd("DEL").arg(self.node(node)).query_async(connection).await?;
                Ok(if was_there { Outcome::Written } else { Outcome::Expired })
            }
        }
    }
}

impl Store for RedisStore {
    fn connect(&self) -> StoreFuture<'_, StoreId> {
        Box::pin(async { self.open().await.map_err(|error| StoreAway::new(error.to_string())) })
    }

    fn write(&self, write: Write) -> StoreFuture<'_, Outcome> {
        Box::pin(async {
            let (mut connection, attempt) = self.writes(&write)?;
            let written = self.write_with(&mut connection.redis, write).await;
            written.or_else(|error| refusal(&error).ok_or_else(|| self.away(attempt, &error)))
        })
    }

    fn last(&self, key: StoreKey) -> StoreFuture<'_, LastEntry> {
        Box::pin(async move {
            let mut last = cmd("XREVRANGE");
            last.arg(self.session(key)).arg("+").arg("-").arg("COUNT").arg(1);
            let mut store = cmd("GET");
            store.arg(self.key(STORE_ID));
            let Connections { attempt, mut reads, .. } = self.connections()?;
            let away = |error: RedisError| self.away(attempt, &error);
            let mut both = pipe();
            both.ignore_errors().add_command(last).add_command(store);
            let (last, store): (Result<Entries, _>, Result<Option<String>, _>) =
                both.query_async(&mut reads.redis).await.map_err(away)?;
            let entry = entries(last).map_err(away)?.pop();
            let store = store.map_err(away)?.map(|id| id.parse()).transpose();
            let store = store.map_err(|_| away(invalid("the id of the store")))?;
            Ok(LastEntry { entry, store })
        })
    }

    fn read(
        &self,
        key: StoreKey,
        after: Option<EntryId>,
        entries_max: usize,
    ) -> StoreFuture<'_, Vec<Entry>> {
        Box::pin(async move {
            let start = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
            let mut range = cmd("XRANGE");
            range.arg(self.session(key)).arg(start).arg("+").arg("COUNT").arg(entries_max);
            let Connections { attempt, mut logs, .. } = self.connections()?;
            let range = range.query_async(&mut logs.redis).await;
            entries(range).map_err(|error| self.away(attempt, &error))
        })
    }

    fn lease(&self, node: NodeId) -> StoreFuture<'_, Option<Lease>> {
        Box::pin(async move {
            let key = self.node(node);
            let (mut address, mut expires_in) = (cmd("GET"), cmd("PTTL"));
            address.arg(&key);
            expires_in.arg(&key);
            let Connections { attempt, mut reads, .. } = self.connections()?;
            let mut lease = pipe();
            lease.add_command(address).add_command(expires_in);
            let lease = lease.query_async(&mut reads.redis).await;
            let (address, expires_in): (Option<String>, i64) =
                lease.map_err(|error| self.away(attempt, &error))?;
            // It may have expired in between.
            let expires_in = u64::try_from(expires_in).ok().map(Duration::from_millis);
            let lease =
                |(address, expires_in): (String, _)| Lease { address: address.into(), expires_in };
            Ok(address.zip(expires_in).map(lease))
        })
    }
}

fn expire(key: &str, ttl: Duration) -> Cmd {
    let mut expire = cmd("PEXPIRE");
    expire.arg(key).arg(milliseconds(ttl));
    expire
}

/// Returns a duration in the unit of the server, which has at least 1 ms.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64)
}

/// Warns about a server that may evict sessions to get memory. Some do not let clients know.
async fn check_eviction(connection: &mut MultiplexedConnection) {
    let mut get = cmd("CONFIG");
    get.arg("GET").arg("maxmemory-policy");
    let policy: Result<Vec<String>, _> = get.query_async(connection).await;
    if let Ok([_, policy]) = policy.as_deref()
        && policy != "noeviction"
    {
        warn!(policy, "the store may evict sessions: set maxmemory-policy to noeviction");
    }
}
