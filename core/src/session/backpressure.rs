//! Pressure: holding a sender up for a reader that makes progress.

use super::{
    Backpressure, Session,
    connection::Connection,
    stall_estimator::nanos,
    stream::{Stream, StreamKey},
};
use crate::{
    Action, Actions, Instant, StreamId,
    time::Timeout,
    timers::{TimerKey, TimerKind},
};

/// A stream that holds a sender up.
#[derive(Debug)]
pub(super) struct HeldStream {
    stream: StreamId,
    /// Its place among those that may be stuck.
    stuck_timer: Option<TimerKey>,
}

/// How much of what a session may keep is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fullness {
    Low,
    /// At least half.
    Half,
    /// Three quarters, by what readers have still to take. The rest is room for what is on
    /// its way to be recorded.
    Full,
}

/// How much the events of a stream are still needed that were not taken: the first variant is
/// evicted from first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ReaderState {
    /// It has no reader.
    Absent,
    /// Its readers were silent for so long that it may hold nobody up.
    Stuck,
    /// Its reader makes progress.
    Active,
}

impl HeldStream {
    pub(super) const fn new(stream: StreamId) -> Self {
        Self { stream, stuck_timer: None }
    }
}

impl<M> Session<M> {
    /// Returns whether the sender of what was recorded last should wait.
    pub(super) fn backpressure(&mut self, stream: StreamId) -> Backpressure {
        let fullness = self.fullness();
        if fullness == Fullness::Low {
            return Backpressure::None;
        }
        let Some(key) = self.streams.find(stream).filter(|key| self.should_hold(*key, fullness))
        else {
            return Backpressure::None;
        };
        let stream = &mut self.streams[key];
        if !core::mem::replace(&mut stream.holds_sender, true) {
            self.held_streams.push(HeldStream::new(stream.id));
        }
        Backpressure::Hold(stream.id)
    }

    /// Releases the senders that do not need to wait any more.
    #[cold]
    pub(super) fn release_senders(&mut self, out: &mut Actions<M>) {
        let fullness = self.fullness();
        let mut held = core::mem::take(&mut self.held_streams);
        held.sort_unstable_by_key(|held| held.stream);
        held.retain_mut(|held| {
            let key = self.streams.find(held.stream);
            let holding = key.filter(|key| self.should_hold(*key, fullness));
            let deadline = holding.and_then(|key| self.stuck_at(key));
            if held.stuck_timer.map(|timer| self.timers.deadline_of(timer)) != deadline {
                held.stuck_timer.take().into_iter().for_each(|timer| self.timers.remove(timer));
                let deadline = holding.zip(deadline);
                held.stuck_timer = deadline
                    .map(|(key, deadline)| self.timers.insert(TimerKind::Hold, key.0, deadline));
            }
            if holding.is_none() {
                if let Some(key) = key {
                    self.streams[key].holds_sender = false;
                }
                out.push(Action::Release { stream: held.stream });
            }
            holding.is_some()
        });
        self.held_streams = held;
    }

    /// Notes that a stream is stuck, and is in no queue any more.
    pub(super) fn clear_stuck_timer(&mut self, key: StreamKey) {
        let stream = self.streams[key].id;
        for held in self.held_streams.iter_mut().filter(|held| held.stream == stream) {
            held.stuck_timer = None;
        }
    }

    /// Returns the connection that carries a stream, unless its reader is stalled.
    pub(super) fn reader(&self, key: StreamKey) -> Option<&Connection> {
        let attached = self.streams[key].attached?;
        Some(&self.connections[attached]).filter(|attached| !attached.is_stalled)
    }

    /// Returns how a stream stands whose events may be evicted.
    pub(super) fn reader_state(&self, key: StreamKey) -> ReaderState {
        match self.reader(key) {
            None => ReaderState::Absent,
            Some(_) if self.stuck_at(key).is_some_and(|deadline| deadline <= self.now) => {
                ReaderState::Stuck
            }
            Some(_) => ReaderState::Active,
        }
    }

    /// Returns whether more may come on a stream whose reader makes progress and trails: by
    /// half, or at all where the session is full.
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

    /// Returns how much of what the session may keep is used up.
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

    /// Returns what was recorded that readers have still to take, in bytes.
    fn unacknowledged_bytes(&self) -> u64 {
        let streams = self.timers.iter(TimerKind::NonEmpty).map(|(key, _)| StreamKey(key));
        streams.map(|key| self.reader_backlog(key).1).fold(0, u64::saturating_add)
    }

    /// Returns how many events the reader of a stream has still to take, and what was
    /// recorded from the first of them on, in bytes: nothing without a reader.
    fn reader_backlog(&self, key: StreamKey) -> (usize, u64) {
        let reader = self.reader(key);
        reader.map_or((0, 0), |it| {
            self.streams[key].log.backlog_from(it.cursor.first_unacknowledged())
        })
    }

    /// Returns when a stream is stuck, if nothing new is taken until then: its readers were
    /// silent for too long, the time without a reader not counted.
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
        let left = timeout.saturating_sub(nanos(*earlier_silence));
        reader.silent_since.deadline_after(Timeout::from_nanos(left)).finite()
    }
}
