//! The list of sessions on the live page: a part of it, whenever it has changed.

use std::{cmp::Reverse, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    history::{Counts, Histories},
    live::{Events, Gone, KEEP_ALIVE},
    sessions::{self, Found},
};
use crate::serve::Servers;

/// The part of the list that somebody looks at.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Window {
    /// What the id, the server, the client or the principal contains.
    query: String,
    sort: Sort,
    offset: usize,
    /// At most [`ROWS_MAX`].
    limit: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    /// Those whose clients miss something first, then those whose clients have not come back.
    #[default]
    Attention,
    Newest,
    Oldest,
    Pending,
    Kept,
}

/// Maximum number of sessions in a part.
const ROWS_MAX: usize = 100;

/// Maximum length of a query, in bytes.
const QUERY_BYTES_MAX: usize = 256;

/// Interval between two looks at all sessions, for each viewer.
const INTERVAL: Duration = Duration::from_secs(1);

impl Default for Window {
    fn default() -> Self {
        Self { query: String::new(), sort: Sort::default(), offset: 0, limit: ROWS_MAX }
    }
}

/// Sends the part, and again whenever it has changed.
pub(super) async fn send(
    events: Events,
    servers: Servers,
    histories: Histories,
    mut window: Window,
) -> Result<(), Gone> {
    window.limit = window.limit.min(ROWS_MAX);
    window.query.truncate(window.query.floor_char_boundary(QUERY_BYTES_MAX));
    window.query = window.query.to_lowercase();
    let mut sent = (Value::Null, Instant::now());
    loop {
        let list = window.look(&servers, &histories);
        let comparable = without_ages(list.clone());
        if comparable != sent.0 {
            events.send("sessions", &list).await?;
            sent = (comparable, Instant::now());
        } else if sent.1.elapsed() >= KEEP_ALIVE {
            events.keep_alive().await?;
            sent.1 = Instant::now();
        }
        sleep(INTERVAL).await;
    }
}

impl Window {
    fn look(&self, servers: &Servers, histories: &Histories) -> Value {
        let all = sessions::all(servers);
        let count = all.len();
        let with_counts = |found: Found| {
            let counts = histories.counts(found.session.id());
            (found, counts)
        };
        let mut matching: Vec<(Found, Counts)> =
            all.into_iter().filter(|found| self.matches(found)).map(with_counts).collect();
        self.sort.apply(&mut matching);
        let part = matching.iter().skip(self.offset).take(self.limit);
        let rows: Vec<Value> = part.map(|(found, counts)| row(found, *counts)).collect();
        json!({ "count": count, "matching": matching.len(), "offset": self.offset, "sessions": rows })
    }

    fn matches(&self, found: &Found) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.query);
        let principal = found.session.principal();
        self.query.is_empty()
            || has(&found.server)
            || has(&found.session.id().short().to_string())
            || found.stats.client.as_deref().is_some_and(has)
            || principal.is_some_and(|principal| has(principal.subject()))
    }
}

impl Sort {
    fn apply(self, sessions: &mut [(Found, Counts)]) {
        match self {
            Self::Attention => sessions.sort_by_cached_key(|(found, counts)| {
                let lost = counts.lost.saturating_sub(counts.resumed);
                let trouble = (counts.missed.saturating_add(counts.failed), lost, counts.lost);
                (Reverse(trouble), Reverse(found.stats.pending_requests), found.stats.age)
            }),
            Self::Newest => sessions.sort_by_key(|(found, _)| found.stats.age),
            Self::Oldest => sessions.sort_by_key(|(found, _)| Reverse(found.stats.age)),
            Self::Pending => {
                sessions.sort_by_key(|(found, _)| Reverse(found.stats.pending_requests));
            }
            Self::Kept => sessions.sort_by_key(|(found, _)| Reverse(found.stats.kept_bytes)),
        }
    }
}

fn row(found: &Found, counts: Counts) -> Value {
    let mut row = found.entry();
    if let Some(row) = row.as_object_mut() {
        row.insert("lost".to_owned(), counts.lost.into());
        row.insert("resumed".to_owned(), counts.resumed.into());
        row.insert("missed".to_owned(), counts.missed.saturating_add(counts.failed).into());
    }
    row
}

/// Returns the list without what changes all the time.
fn without_ages(mut list: Value) -> Value {
    let rows = list.get_mut("sessions").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten().filter_map(Value::as_object_mut) {
        row.remove("age_seconds");
    }
    list
}
