//! The sessions of all servers, for operators.

use rejoin::{
    SessionHandle, SessionStats,
    rejoin_core::{ProtocolVersion, SessionCloseReason},
};
use serde_json::{Value, json};

use crate::serve::{Server, Servers};

/// Maximum number of sessions in a list.
const LISTED_MAX: usize = 1_000;

/// A session of a server.
pub(super) struct Found {
    pub(super) server: String,
    pub(super) session: SessionHandle,
    pub(super) stats: SessionStats,
}

/// Returns all sessions, in no particular order.
pub(super) fn all(servers: &Servers) -> Vec<Found> {
    let mut all = Vec::new();
    for server in servers.all() {
        let sessions = server.sessions().all().into_iter();
        all.extend(sessions.filter_map(|session| Found::new(&server, session)));
    }
    all
}

/// Returns the list of sessions, the oldest first, and how many there are.
pub(super) fn list(servers: &Servers) -> Value {
    let mut all = all(servers);
    all.sort_by_key(|found| std::cmp::Reverse(found.stats.age));
    let listed: Vec<Value> = all.iter().take(LISTED_MAX).map(Found::entry).collect();
    json!({ "count": all.len(), "sessions": listed })
}

/// Returns the session with a short id.
pub(super) fn find(servers: &Servers, short: &str) -> Option<Found> {
    servers.all().iter().find_map(|server| {
        let is_it = |session: &SessionHandle| session.id().short().to_string() == short;
        Found::new(server, server.sessions().all().into_iter().find(is_it)?)
    })
}

impl Found {
    /// Returns `None` if the session is closed.
    fn new(server: &Server, session: SessionHandle) -> Option<Self> {
        let stats = session.stats()?;
        Some(Self { server: server.label().to_owned(), session, stats })
    }

    pub(super) fn entry(&self) -> Value {
        let Self { server, session, stats } = self;
        let principal = session.principal().map(
            |principal| json!({ "issuer": principal.issuer(), "subject": principal.subject() }),
        );
        json!({
            "session": session.id().short().to_string(),
            "server": server,
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

    /// Ends the session on behalf of the server.
    pub(super) fn end(self) {
        let session = self.session.id().short().to_string();
        tracing::info!(session, "session ended by an operator");
        self.session.close(SessionCloseReason::Cancelled);
    }
}
