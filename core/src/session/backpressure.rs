//! Backpressure: when a sender must wait for a reader that makes progress.

use super::{
    Session,
    connection::Connection,
    stream::{Stream, StreamKey},
};
use crate::{
    Action, Actions, Instant, StreamId,
    time::Timeout,
    timers::{TimerKey, TimerKind},
};

/// A stream that holds a sender.
#[derive(Debug)]
pub(super) struct HeldStream {
    stream: StreamId,
    /// Fires when the stream is stuck, and the sender must be released.
    stuck_timer: Option<TimerKey>,
}

/// How much of `session_bytes_max` is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fullness {
    /// Less than half.
    Low,
    /// At least half.
    Half,
    /// At least three quarters, even if only unacknowledged events of streams with a reader
    /// count. The rest is for messages that arrive before their senders wait.
    Full,
}

/// The state of a stream's reader. Unacknowledged events are evicted from streams in the order
/// of these variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ReaderState {
    /// No connection is attached, or its reader is stalled.
    Absent,
    /// Its readers were silent for too long to hold a sender.
    Stuck,
    /// The reader makes progress.
    Active,
}

impl HeldStream {
    pub(super) const fn new(stream: StreamId) -> Self {
        Self { stream, stuck_timer: None }
    }
}

impl<M> Session<M> {
    /// Tells the sender of a message that was just recorded on `stream` to wait, if it should.
    pub(super) fn hold_sender(&mut self, stream: StreamId, out: &mut Actions<M>) {
        let fullness = self.fullness();
        if fullness == Fullness::Low {
            return;
        }
        let Some(key) = self.streams.find(stream).filter(|key| self.should_hold(*key, fullness))
        else {
            return;
        };
        let stream = &mut self.streams[key];
        if !core::mem::replace(&mut stream.holds_sender, true) {
            self.held_streams.push(HeldStream::new(stream.id));
        }
        out.push(Action::Hold { stream: stream.id });
    }

    /// Releases the senders that no longer need to wait, and updates the timers of the others.
    #[cold]
    pub(super) fn release_senders(&mut self, out: &mut Actions<M>) {
        let fullness = self.fullness();
        let mut held = core::mem::take(&mut self.held_streams);
        held.sort_unstable_by_key(|held| held.stream);
        held.retain_mut(|held| {
            let key = self.streams.find(held.stream);
            let still_held = key.filter(|key| self.should_hold(*key, fullness));
            let deadline = still_held.and_then(|key| self.stuck_at(key));
            if held.stuck_timer.map(|timer| self.timers.deadline_of(timer)) != deadline {
                held.stuck_timer.take().into_iter().for_each(|timer| self.timers.remove(timer));
                let deadline = still_held.zip(deadline);
                held.stuck_timer = deadline
                    .map(|(key, deadline)| self.timers.insert(TimerKind::Hold, key.0, deadline));
            }
            if still_held.is_none() {
                if let Some(key) = key {
                    self.streams[key].holds_sender = false;
                }
                out.push(Action::Release { stream: held.stream });
            }
            still_held.is_some()
        });
        self.held_streams = held;
    }

    /// Clears the timer of a held stream after it has fired.
    pub(super) fn clear_stuck_timer(&mut self, key: StreamKey) {
        let stream = self.streams[key].id;
        for held in self.held_streams.iter_mut().filter(|held| held.stream == stream) {
            held.stuck_timer = None;
        }
    }

    /// Returns the attached connection of a stream, unless its reader is stalled.
    pub(super) fn reader(&self, key: StreamKey) -> Option<&Connection> {
        let attached = self.streams[key].attached?;
        Some(&self.connections[attached]).filter(|attached| !attached.is_stalled)
    }

    /// Returns the state of the reader of a stream.
    pub(super) fn reader_state(&self, key: StreamKey) -> ReaderState {
        match self.reader(key) {
            None => ReaderState::Absent,
            Some(_) if self.stuck_at(key).is_some_and(|deadline| deadline <= self.now) => {
                ReaderState::Stuck
            }
            Some(_) => ReaderState::Active,
        }
    }

    /// Returns whether the sender to a stream must wait: its reader makes progress, and its
    /// backlog is above the high-water mark, half of the stream's limits, or is not empty while
    /// the session is full.
    fn should_hold(&self, key: StreamKey, fullness: Fullness) -> bool {
        if fullness == Fullness::Low || !self.streams[key].is_open() {
            return false;
        }
        let (events, bytes) = self.reader_backlog(key);
        let is_above_high_water_mark = events.saturating_mul(2) >= self.config.stream_events_max
            || bytes.saturating_mul(2) >= self.config.stream_bytes_max as u64;
        events > 0
            && (is_above_high_water_mark || fullness == Fullness::Full)
            && self.stuck_at(key).is_none_or(|deadline| self.now < deadline)
    }

    /// Returns how much of `session_bytes_max` is used.
    fn fullness(&self) -> Fullness {
        let max = self.config.session_bytes_max;
        if self.logged_bytes.saturating_mul(2) < max {
            return Fullness::Low;
        }
        let is_full = |bytes: u64| bytes.saturating_mul(4) >= (max as u64).saturating_mul(3);
        if is_full(self.logged_bytes as u64) && is_full(self.unacknowledged_bytes()) {
            Fullness::Full
        } else {
            Fullness::Half
        }
    }

    /// Returns the total backlog of all readers in bytes.
    fn unacknowledged_bytes(&self) -> u64 {
        self.streams.non_empty().map(|key| self.reader_backlog(key).1).fold(0, u64::saturating_add)
    }

    /// Returns the number of unacknowledged events of the reader of a stream, and their bytes
    /// as counted by [`Log::backlog_from`](crate::Log::backlog_from); zero without a reader.
    fn reader_backlog(&self, key: StreamKey) -> (usize, u64) {
        let reader = self.reader(key);
        reader.map_or((0, 0), |it| {
            self.streams[key].log.backlog_from(it.cursor.first_unacknowledged())
        })
    }

    /// Returns when a stream becomes stuck, because its readers have been silent for too long,
    /// unless a new event is acknowledged before. Time without a reader does not count.
    fn stuck_at(&self, key: StreamKey) -> Option<Instant> {
        let Stream { pending, attached, earlier_silence, .. } = &self.streams[key];
        let reader = &self.connections[(*attached)?];
        if !reader.cursor.has_unacknowledged() {
            return None;
        }
        let timeouts = self.config.timeouts();
        let may_stall = self.config.stall_timeout_max.is_some();
        let stall = may_stall.then(|| reader.stall_estimator.timeout(timeouts.stall));
        let are_others_pending = self.requests.pending.len() > *pending;
        let hold = are_others_pending.then(|| timeouts.hold.nanos());
        let timeout = stall.into_iter().chain(hold).min().filter(|nanos| *nanos < u64::MAX)?;
        let remaining = timeout.saturating_sub(*earlier_silence);
        reader.silent_since.deadline_after(Timeout::from_nanos(remaining)).finite()
    }
}
