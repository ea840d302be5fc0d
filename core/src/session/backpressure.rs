//! Backpressure: when a sender must wait for a reader that makes progress, or for room.

use super::{Session, connection::Connection, stream::StreamKey};
use crate::{
    Action, Actions, Instant, StreamId,
    time::Timeout,
    timers::{TimerKey, TimerKind},
};

/// A stream that holds senders.
#[derive(Debug)]
pub(super) struct HeldStream {
    pub(super) stream: StreamId,
    /// The cost of the smallest message that was rejected for lack of room.
    pub(super) waits_for: Option<usize>,
    /// Fires when a sender may no longer have to wait.
    pub(super) timer: Option<TimerKey>,
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
    pub(super) const fn new(stream: StreamId, waits_for: Option<usize>) -> Self {
        Self { stream, waits_for, timer: None }
    }
}

impl<C, S> Session<C, S> {
    /// Holds the sender of a message that was just recorded on `stream`, if it should wait.
    pub(super) fn hold_sender(&mut self, stream: StreamId, out: &mut Actions<C, S>) {
        // Usually false, and cheaper than the rest.
        if self.is_half_full()
            && let Some(key) = self.streams.find(stream).filter(|key| self.should_hold(*key))
        {
            self.hold(key, None, out);
        }
    }

    /// Holds a sender, for a reader or until there is room for a message.
    pub(super) fn hold(
        &mut self,
        key: StreamKey,
        waits_for: Option<usize>,
        out: &mut Actions<C, S>,
    ) {
        let stream = self.streams[key].id;
        match self.held_streams.iter_mut().find(|held| held.stream == stream) {
            Some(held) => held.waits_for = held.waits_for.into_iter().chain(waits_for).min(),
            None => self.held_streams.push(HeldStream::new(stream, waits_for)),
        }
        out.push(Action::Hold { stream });
    }

    /// Returns whether a message waits for room, and there is none.
    pub(super) fn lacks_room(&self) -> bool {
        let existing = self.held_streams.iter().filter(|it| self.streams.find(it.stream).is_some());
        let largest = existing.filter_map(|held| held.waits_for).max();
        largest.is_some_and(|cost| !self.has_room(cost))
    }

    /// Releases the senders that no longer need to wait, and updates the timers of the others.
    #[cold]
    pub(super) fn release_senders(&mut self, out: &mut Actions<C, S>) {
        let mut held = core::mem::take(&mut self.held_streams);
        held.sort_unstable_by_key(|held| held.stream);
        let wanted = held.iter().filter_map(|held| held.waits_for).max();
        let room = wanted.map_or(0, |wanted| self.room(wanted));
        let next_stop = wanted.and_then(|_| self.next_stop());
        held.retain_mut(|held| {
            let key = self.streams.find(held.stream);
            let lagging = key.filter(|key| self.should_hold(*key));
            let waiting = key.filter(|_| held.waits_for.is_some_and(|cost| cost > room));
            let stuck_at = lagging.and_then(|key| self.stuck_at(key));
            let deadline = stuck_at.into_iter().chain(waiting.and(next_stop)).min();
            if held.timer.map(|timer| self.timers.deadline_of(timer)) != deadline {
                held.timer.take().into_iter().for_each(|timer| self.timers.remove(timer));
                held.timer = key
                    .zip(deadline)
                    .map(|(key, deadline)| self.timers.insert(TimerKind::Hold, key.0, deadline));
            }
            let is_held = lagging.or(waiting).is_some();
            if !is_held {
                out.push(Action::Release { stream: held.stream });
            }
            is_held
        });
        self.held_streams = held;
    }

    /// Clears the timer of a held stream after it has fired.
    pub(super) fn clear_hold_timer(&mut self, key: StreamKey) {
        let stream = self.streams[key].id;
        for held in self.held_streams.iter_mut().filter(|held| held.stream == stream) {
            held.timer = None;
        }
    }

    /// Returns the attached connection of a stream, unless its reader is stalled.
    pub(super) fn reader(&self, key: StreamKey) -> Option<&Connection> {
        let attached = self.streams[key].attached()?;
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

    /// Returns whether the sender to a stream must wait: the session is at least half full, the
    /// reader makes progress, and its backlog is above the high-water mark, half of the stream's
    /// limits.
    fn should_hold(&self, key: StreamKey) -> bool {
        if !self.is_half_full() || !self.streams[key].is_open() {
            return false;
        }
        let (events, bytes) = self.reader_backlog(key);
        let is_above_high_water_mark = events.saturating_mul(2) >= self.config.stream_events_max
            || bytes.saturating_mul(2) >= self.config.stream_bytes_max as u64;
        events > 0
            && is_above_high_water_mark
            && self.stuck_at(key).is_none_or(|deadline| self.now < deadline)
    }

    fn is_half_full(&self) -> bool {
        self.kept_bytes().saturating_mul(2) >= self.limit.bytes_max
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
    pub(super) fn stuck_at(&self, key: StreamKey) -> Option<Instant> {
        let stream = &self.streams[key];
        let reader = &self.connections[stream.attached()?];
        if !reader.cursor.has_unacknowledged() {
            return None;
        }
        let timeouts = self.config.timeouts();
        let may_stall = self.config.stall_timeout_max.is_some();
        let stall = may_stall.then(|| reader.stall_estimator.timeout(timeouts.stall));
        let hold = self.hold_timeout(stream.pending_count()).map(Timeout::nanos);
        let timeout = stall.into_iter().chain(hold).min().filter(|nanos| *nanos < u64::MAX)?;
        let remaining = timeout.saturating_sub(stream.earlier_silence);
        reader.silent_since.deadline_after(Timeout::from_nanos(remaining)).finite()
    }

    /// Returns how long a reader may be silent while requests of other streams are pending, if
    /// they are. Its own stream has `pending` of them.
    pub(super) fn hold_timeout(&self, pending: usize) -> Option<Timeout> {
        (self.requests.pending.len() > pending).then(|| self.config.timeouts().hold)
    }
}
