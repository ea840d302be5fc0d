//! A connection: its role, its cursor and its window.

use std::time::Duration;

use rejoin_core::{CloseReason, Config, ConnectionId, Instant, StreamId};

use super::{state::Stamp, table::Keyed};

/// A known connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) role: Role,
    /// The stream that it is attached to, is a shadow of, or drains from.
    pub(super) stream: Option<StreamId>,
    pub(super) origin: Origin,
    pub(super) is_sse: bool,
    /// Whether an event was sent on it whose id its client gets.
    pub(super) was_sent_id: bool,
    pub(super) close_reason: Option<CloseReason>,

    /// The cursor: the first index that was neither sent on it nor seen by its client before.
    pub(super) next: u64,
    /// The first index that it did not acknowledge: the start of its window.
    pub(super) first_unacknowledged: u64,
    /// Where `next` returns to when what is in flight is discarded.
    pub(super) rewind_to: u64,
    /// What is in flight on it: index and cost, by index.
    pub(super) in_flight: Vec<(u64, usize)>,
    pub(super) last_sent: Option<u64>,
    pub(super) acknowledged: Option<u64>,
    /// While something is in flight: since when its reader acknowledged nothing.
    pub(super) silent_since: Option<Stamp>,
    /// While it drains and nothing is in flight: since when.
    pub(super) drained_since: Option<Stamp>,
    pub(super) is_stalled: bool,
    /// The longest time for which its reader was silent before it acknowledged something.
    pub(super) longest_pause: Duration,
    /// The estimate that its stall timeout follows.
    pub(super) pace: Pace,
}

/// How long the pauses of a reader are, and vary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// S and V of the behaviour page in nanoseconds, once there was a sample.
    estimate: Option<(u64, u64)>,
    /// When the round began, and its longest pause in nanoseconds.
    round: Option<(Instant, u64)>,
}

/// The role of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Waits for the response to `initialize`.
    Initialize,
    Attached,
    /// A shadow; the highest `since` is the newest.
    Shadow {
        since: u64,
    },
    Draining,
}

/// How a connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By the POST of `initialize`.
    Initialize,
    /// By a POST that opened this stream and accepts JSON.
    Json(StreamId),
    /// By a GET that resumed a stream.
    Resume,
    /// By a POST that is answered by SSE, or by a GET without an id.
    Other,
}

impl Keyed for Connection {
    type Key = ConnectionId;

    fn key(&self) -> ConnectionId {
        self.id
    }
}

impl Connection {
    pub(super) fn new(id: ConnectionId, role: Role, stream: Option<StreamId>) -> Self {
        Self {
            id,
            role,
            stream,
            origin: Origin::Other,
            is_sse: true,
            was_sent_id: false,
            close_reason: None,
            next: 1,
            first_unacknowledged: 1,
            rewind_to: 1,
            in_flight: Vec::new(),
            last_sent: None,
            acknowledged: None,
            silent_since: None,
            drained_since: None,
            is_stalled: false,
            longest_pause: Duration::ZERO,
            pace: Pace::default(),
        }
    }

    /// Skips what its client has seen already: everything up to `index`.
    pub(super) fn start_after(&mut self, index: u64) {
        self.next = self.next.max(index + 1);
        if self.in_flight.is_empty() {
            self.first_unacknowledged = self.next;
            self.rewind_to = self.next;
        }
    }

    /// Returns whether its window admits the event at `index`.
    pub(super) fn admits(&self, index: u64, config: &Config) -> bool {
        self.in_flight.is_empty()
            || index - self.first_unacknowledged < u64::from(config.window_events_max)
    }

    /// Returns whether its client has an event id.
    pub(super) fn has_event_id(&self) -> bool {
        self.was_sent_id || self.origin == Origin::Resume
    }

    /// Returns whether an event that costs something is in flight on it.
    pub(super) fn keeps_events(&self) -> bool {
        self.in_flight.iter().any(|(_, cost)| *cost > 0)
    }

    /// Notes that the event at `index` is sent on it.
    pub(super) fn note_sent(&mut self, index: u64, cost: usize, stamp: Stamp) {
        if self.in_flight.is_empty() {
            self.first_unacknowledged = index;
            self.silent_since = Some(stamp);
        }
        self.in_flight.push((index, cost));
        self.last_sent = Some(index);
        self.next = index + 1;
    }

    /// Notes since when it drains with nothing in flight.
    pub(super) fn note_if_drained(&mut self, stamp: Stamp) {
        if self.role == Role::Draining && self.in_flight.is_empty() {
            self.drained_since.get_or_insert(stamp);
        }
    }

    /// Returns how long its reader may be silent before it is stalled.
    pub(super) fn stall_timeout(&self, config: &Config) -> Option<Duration> {
        let max = nanos(config.stall_timeout_max?);
        let (smoothed, variation) = self.pace.estimate(max);
        let margin = variation.saturating_mul(4).max(smoothed);
        let timeout = smoothed.saturating_add(margin);
        Some(Duration::from_nanos(timeout.max(nanos(config.stall_timeout_min)).min(max)))
    }

    /// Notes the end of a pause: its reader acknowledges something, and is behind or not.
    pub(super) fn note_pause(&mut self, now: Instant, is_behind: bool, config: &Config) {
        let silence = self.silent_since.map_or(Duration::ZERO, |since| now.since(since.at));
        self.longest_pause = self.longest_pause.max(silence);
        let Some(since) = self.silent_since.filter(|_| is_behind) else {
            self.pace.round = None;
            return;
        };
        let pause = nanos(now.since(since.at));
        let (began, longest) = self.pace.round.unwrap_or((since.at, 0));
        let longest = longest.max(pause);
        if nanos(now.since(began)) < nanos(config.stall_timeout_min) {
            self.pace.round = Some((began, longest));
        } else {
            self.pace.round = None;
            let max = config.stall_timeout_max.map_or(u64::MAX, nanos);
            let (smoothed, variation) = self.pace.estimate(max);
            let sample = longest.min(max);
            let variation = variation - variation / 4 + smoothed.abs_diff(sample) / 4;
            self.pace.estimate = Some((smoothed - smoothed / 8 + sample / 8, variation));
        }
    }

    /// Returns whether an acknowledgement up to `through` covers a new event.
    pub(super) fn acknowledges_new(&self, through: u64) -> bool {
        let through = self.last_sent.map(|last_sent| through.min(last_sent));
        !self.in_flight.is_empty()
            && through.is_some_and(|through| through >= self.first_unacknowledged)
    }

    /// Acknowledges everything that was sent up to `through`, or a part of the next event.
    /// Returns the highest acknowledged index, if that covers a new event.
    pub(super) fn acknowledge(&mut self, through: u64, stamp: Stamp) -> Option<u64> {
        if self.in_flight.is_empty() {
            return None;
        }
        self.is_stalled = false;
        if !self.acknowledges_new(through) {
            self.silent_since = Some(stamp);
            return None;
        }
        let through = through.min(self.last_sent?);
        self.in_flight.retain(|(index, _)| *index > through);
        if self.in_flight.is_empty() {
            self.first_unacknowledged = self.next;
            self.silent_since = None;
        } else {
            self.first_unacknowledged = through + 1;
            self.silent_since = Some(stamp);
        }
        self.rewind_to = self.first_unacknowledged;
        self.acknowledged = Some(through);
        Some(through)
    }
}

impl Pace {
    fn estimate(self, max: u64) -> (u64, u64) {
        self.estimate.unwrap_or((max.div_ceil(2), max / 8))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
