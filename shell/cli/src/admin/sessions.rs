//! The sessions of all servers, for operators.

use std::{cmp::Reverse, sync::Arc};

use rejoin::{
    Principal, SessionHandle, SessionId, SessionStats,
    rejoin_core::{ProtocolVersion, SessionCloseReason},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::serve::{Server, Servers};

/// Maximum number of sessions in a list.
const LISTED_MAX: usize = 1_000;

/// A session of a server, as it is listed.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) server: Arc<str>,
    pub(super) id: SessionId,
    pub(super) principal: Option<Principal>,
    pub(super) stats: SessionStats,
    pub(super) created_at: Instant,
}

/// A session, and what is listed of it.
pub(super) struct Found {
    pub(super) session: SessionHandle,
    pub(super) listed: Listed,
}

/// Returns all sessions, in no particular order. Locks each of them.
pub(super) fn all(servers: &Servers) -> Vec<Listed> {
    let mut all = Vec::new();
    for server in servers.all() {
        let label = label(&server);
        let sessions = server.sessions().all().into_iter();
        all.extend(sessions.filter_map(|session| Listed::new(&label, &session)));
    }
    all
}

/// Returns the list of sessions, the oldest first, and how many there are.
pub(super) fn list(servers: &Servers) -> Value {
    let mut all = all(servers);
    all.sort_by_key(|listed| Reverse(listed.newest_first()));
    let listed: Vec<Value> = all.iter().take(LISTED_MAX).map(Listed::entry).collect();
    json!({ "count": all.len(), "sessions": listed })
}

/// Returns the session with a short id.
pub(super) fn find(servers: &Servers, short: &str) -> Option<Found> {
    servers.all().iter().find_map(|server| {
        let is_it = |session: &SessionHandle| session.id().short().to_string() == short;
        let session = server.sessions().all().into_iter().find(is_it)?;
        Some(Found { listed: Listed::new(&label(server), &session)?, session })
    })
}

fn label(server: &Server) -> Arc<str> {
    server.label().into()
}

impl Listed {
    /// Returns `None` if the session is closed.
    fn new(server: &Arc<str>, session: &SessionHandle) -> Option<Self> {
        let stats = session.stats()?;
        let now = Instant::now();
        Some(Self {
            server: Arc::clone(server),
            id: session.id(),
            principal: session.principal().cloned(),
            created_at: now.checked_sub(stats.age).unwrap_or(now),
            stats,
        })
    }

    /// Returns the key that sorts sessions by their creation, the newest first.
    pub(super) fn newest_first(&self) -> (Reverse<Instant>, SessionId) {
        (Reverse(self.created_at), self.id)
    }

    pub(super) fn entry(&self) -> Value {
        let Self { server, id, principal, stats, .. } = self;
        let principal = principal.as_ref().map(
            |principal| json!({ "issuer": principal.issuer(), "subject": principal.subject() }),
        );
        json!({
            "session": id.short().to_string(),
            "server": **server,
            "principal": principal,
            "client": stats.client,
            "revision": stats.revision.as_ref().map(ProtocolVersion::as_str),
            "age_seconds": stats.age.as_secs_f64(),
            "process": stats.process,
            "pending_requests": stats.pending_requests,
            "connections": stats.connections,
            "kept_bytes": stats.kept_bytes,
        })
    }
}

impl Found {
    /// Ends the session on behalf of the server.
    pub(super) fn end(self) {
        let session = self.session.id().short().to_string();
        tracing::info!(session, "session ended by an operator");
        self.session.close(SessionCloseReason::Cancelled);
    }
}
