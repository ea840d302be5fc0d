//! The beginning of a timeline in the middle of a session.

use rejoin::{WatchStart, rejoin_core::StreamId};
use serde_json::{Value, json};

use super::{Mark, Row, Timeline, inputs::began};

impl Timeline {
    /// Begins in the middle of a session. Returns it as the page has it.
    pub(crate) fn start(start: &WatchStart) -> (Self, Value) {
        let mut timeline = Self {
            is_opened: start.stats.revision.is_some(),
            timed_out: start.timed_out.iter().rev().copied().collect(),
            ..Self::default()
        };
        for (connection, stream) in &start.connections {
            timeline.connections.open(*connection, stream.map_or(Row::Session, Row::Stream));
        }
        for stream in &start.streams {
            let sent = stream.sent.unwrap_or(stream.acknowledged).max(stream.acknowledged);
            timeline.connections.set_sent(stream.id, sent);
            if stream.id == StreamId::Standalone {
                timeline.standalone = stream.attached;
            }
        }
        let streams = start.streams.iter().map(|stream| {
            json!({
                "row": Row::Stream(stream.id),
                "last": stream.last,
                "sent": stream.sent,
                "acknowledged": stream.acknowledged,
                "logged": stream.logged,
                "connection": stream.attached.map(|connection| connection.0),
                "pending": stream.pending_requests,
                "complete": stream.is_complete,
                "held": stream.holds_sender,
            })
        });
        let streams: Vec<Value> = streams.collect();
        let mut requests = Vec::new();
        for watched in &start.requests {
            let row = watched.stream.map_or(Row::Session, Row::Stream);
            timeline.pending.push((watched.request.id.clone(), row));
            let began = began(&watched.request.id, Some(&watched.request));
            requests.push(Mark::new(watched.at, row, began));
        }
        let state = json!({ "streams": streams, "requests": requests });
        (timeline, state)
    }
}
