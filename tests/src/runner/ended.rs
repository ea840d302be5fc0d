//! What is left of streams, and the timers, of a restored session and of the live one.

use std::{collections::BTreeMap, time::Duration};

use rejoin_core::{Config, Session, StreamId};
use serde_json::Value;

/// The parts of a snapshot that no getter returns.
#[derive(Debug)]
pub(super) struct Ended {
    tombstones: BTreeMap<u64, Tombstone>,
    /// The remaining time of the timers of streams and of server requests, by what they are for.
    timers: BTreeMap<String, Duration>,
}

#[derive(Debug, PartialEq, Eq)]
struct Tombstone {
    was_cancelled: bool,
    last: u64,
    responses: Value,
}

impl Ended {
    /// Returns those of a session.
    ///
    /// # Errors
    ///
    /// The snapshot of the session has another form.
    pub(super) fn of(session: &Session<u64>) -> Result<Self, String> {
        let json = serde_json::to_value(session.snapshot()).map_err(|error| error.to_string())?;
        let list = |name| {
            let list = json.pointer(&format!("/state/{name}")).and_then(Value::as_array);
            list.ok_or_else(|| format!("a snapshot has no {name}"))
        };
        let tombstones = list("tombstones")?.iter().map(tombstone).collect::<Option<_>>();
        let config = session.config();
        let timers = list("timers")?.iter().filter_map(|state| timer(config, state)).collect();
        Ok(Self { tombstones: tombstones.ok_or("a tombstone has another form")?, timers })
    }

    /// Checks that the restored session has the tombstones and timers of the live one, or what was
    /// before those tombstones; and no other tombstone, except of streams that the live one does not
    /// know any more. No timer of it fires before that of the live one.
    ///
    /// # Errors
    ///
    /// What is different.
    pub(super) fn compare(
        &self,
        live: &Session<u64>,
        restored: &Session<u64>,
    ) -> Result<(), String> {
        let other = Self::of(restored)?;
        for (number, tombstone) in &self.tombstones {
            let found = other.tombstones.get(number);
            let is_stream = restored.log(StreamId::Request(*number)).is_some();
            let fits = match found {
                Some(found) => found.is_like(tombstone),
                None => is_stream && !tombstone.was_cancelled,
            };
            if !fits {
                return Err(format!("tombstone {number}, {tombstone:?}, is restored as {found:?}"));
            }
        }
        for (number, tombstone) in &other.tombstones {
            let log = live.log(StreamId::Request(*number));
            let is_revived = || log.is_some_and(|log| log.last() == tombstone.last);
            if log.is_some() && (tombstone.was_cancelled || !is_revived()) {
                return Err(format!("stream {number} is restored as {tombstone:?}"));
            }
        }
        for (target, remaining) in &self.timers {
            if let Some(other) = other.timers.get(target).filter(|other| *other < remaining) {
                return Err(format!(
                    "{target} fires after {remaining:?}, but {other:?} if restored"
                ));
            }
        }
        Ok(())
    }
}

impl Tombstone {
    /// Returns whether it is that of the same stream in a session that has gone on.
    fn is_like(&self, live: &Self) -> bool {
        // Priming events have no records.
        self.was_cancelled == live.was_cancelled
            && self.last <= live.last
            && self.responses == live.responses
    }
}

fn tombstone(state: &Value) -> Option<(u64, Tombstone)> {
    let tombstone = Tombstone {
        was_cancelled: state.get("was_cancelled")?.as_bool()?,
        last: state.get("last")?.as_u64()?,
        responses: state.get("responses")?.clone(),
    };
    Some((state.get("number")?.as_u64()?, tombstone))
}

/// Returns a timer that fires, without the time until the client is expected: a retry has no record.
fn timer(config: &Config, state: &Value) -> Option<(String, Duration)> {
    let target = state.get("target")?;
    let has = |name| target.get(name).is_some();
    let timeout = if has("Orphan") {
        config.orphan_timeout
    } else if has("RetainedUnacknowledged") || has("RetainedAcknowledged") {
        config.retention
    } else if has("Delivery") {
        config.delivery_timeout
    } else if has("Response") {
        config.server_request_timeout
    } else {
        // A reserved id is released early if its response comes.
        None
    };
    let remaining = serde_json::from_value::<Option<Duration>>(state.get("remaining")?.clone());
    Some((target.to_string(), remaining.ok()??.min(timeout?)))
}
