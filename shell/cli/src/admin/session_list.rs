//! The list of sessions on the live page: a part of it, whenever it has changed.

use std::cmp::Reverse;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    history::{Counts, Histories},
    live::{Events, Gone, KEEP_ALIVE},
    on_demand::OnDemand,
    sessions::{self, Listed},
};
use crate::serve::Servers;

/// All sessions at one time.
pub(super) type Overview = Vec<Row>;

/// A session in the list.
#[derive(Debug)]
pub(super) struct Row {
    listed: Listed,
    counts: Counts,
}

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

impl Default for Window {
    fn default() -> Self {
        Self { query: String::new(), sort: Sort::default(), offset: 0, limit: ROWS_MAX }
    }
}

/// Sends the part, and again whenever it has changed.
pub(super) async fn send(
    events: Events,
    overview: OnDemand<Overview>,
    read: impl Fn() -> Overview,
    mut window: Window,
) -> Result<(), Gone> {
    window.limit = window.limit.min(ROWS_MAX);
    window.query.truncate(window.query.floor_char_boundary(QUERY_BYTES_MAX));
    window.query = window.query.to_lowercase();
    let shared = overview.share();
    let mut sent = (Value::Null, Instant::now());
    loop {
        let latest = shared.latest(&read).await;
        let (list, next_at) = (window.part(&latest.value), latest.next_at());
        // It is not kept for a viewer who reads slowly.
        drop(latest);
        let comparable = without_ages(list.clone());
        if comparable != sent.0 {
            events.send("sessions", &list).await?;
            sent = (comparable, Instant::now());
        } else if sent.1.elapsed() >= KEEP_ALIVE {
            events.keep_alive().await?;
            sent.1 = Instant::now();
        }
        sleep_until(next_at).await;
    }
}

/// Reads all sessions.
pub(super) fn read(servers: &Servers, histories: &Histories) -> Overview {
    let row = |listed: Listed| Row { counts: histories.counts(listed.id), listed };
    sessions::all(servers).into_iter().map(row).collect()
}

impl Window {
    fn part(&self, all: &[Row]) -> Value {
        let mut matching: Vec<&Row> = all.iter().filter(|row| self.matches(&row.listed)).collect();
        self.sort.apply(&mut matching);
        let part = matching.iter().skip(self.offset).take(self.limit);
        let rows: Vec<Value> = part.map(|row| row.entry()).collect();
        json!({
            "count": all.len(),
            "matching": matching.len(),
            "offset": self.offset,
            "sessions": rows,
        })
    }

    fn matches(&self, session: &Listed) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.query);
        self.query.is_empty()
            || has(&session.server)
            || has(&session.id.short().to_string())
            || session.stats.client.as_deref().is_some_and(has)
            || session.principal.as_ref().is_some_and(|principal| has(principal.subject()))
    }
}

impl Sort {
    /// Sorts sessions. Among those that are equal otherwise, the newest is the first.
    fn apply(self, sessions: &mut [&Row]) {
        let newest = |row: &&Row| row.listed.newest_first();
        match self {
            Self::Attention => sessions.sort_by_key(|row| {
                let counts = row.counts;
                let lost = counts.lost.saturating_sub(counts.resumed);
                let trouble = (counts.missed.saturating_add(counts.failed), lost, counts.lost);
                (Reverse((trouble, row.listed.stats.pending_requests)), newest(row))
            }),
            Self::Newest => sessions.sort_by_key(newest),
            Self::Oldest => sessions.sort_by_key(|row| Reverse(newest(row))),
            Self::Pending => sessions
                .sort_by_key(|row| (Reverse(row.listed.stats.pending_requests), newest(row))),
            Self::Kept => {
                sessions.sort_by_key(|row| (Reverse(row.listed.stats.kept_bytes), newest(row)));
            }
        }
    }
}

impl Row {
    fn entry(&self) -> Value {
        let Self { listed, counts } = self;
        let mut entry = listed.entry();
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("lost".to_owned(), counts.lost.into());
            entry.insert("resumed".to_owned(), counts.resumed.into());
            entry.insert("missed".to_owned(), counts.missed.saturating_add(counts.failed).into());
        }
        entry
    }
}

/// Returns the list without what changes all the time.
fn without_ages(mut list: Value) -> Value {
    let rows = list.get_mut("sessions").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten().filter_map(Value::as_object_mut) {
        row.remove("age_seconds");
    }
    list
}
