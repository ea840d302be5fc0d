//! Pressure: holding a sender up for a reader that makes progress.

use super::{
    Pressure, Session,
    connection::Connection,
    pace::nanos,
    stream::{Stream, StreamKey},
};
use crate::{
    Action, Actions, Instant, StreamId,
    queue::{Queue, Ticket},
    time::Timeout,
};

/// A stream that holds a sender up.
#[derive(Debug)]
pub(super) struct Held {
    stream: StreamId,
    /// Its place among those that may be stuck.
    patience: Option<Ticket>,
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
pub(super) enum Standing {
    /// It has no reader.
    Unread,
    /// Its readers were silent for so long that it may hold nobody up.
    Stuck,
    /// Its reader makes progress.
    Read,
}

impl Held {
    pub(super) const fn new(stream: StreamId) -> Self {
        Self { stream, patience: None }
    }
}

impl<M> Session<M> {
    /// Returns whether the sender of what was recorded last should wait.
    pub(super) fn pressure(&mut self, stream: StreamId) -> Pressure {
        let fullness = self.fullness();
        if fullness == Fullness::Low {
            return Pressure::None;
        }
        let Some(key) = self.streams.find(stream).filter(|key| self.holds(*key, fullness)) else {
            return Pressure::None;
        };
        let stream = &mut self.streams[key];
        if !core::mem::replace(&mut stream.holds, true) {
            self.held.push(Held::new(stream.id));
        }
        Pressure::Hold(stream.id)
    }

    /// Releases the senders that do not need to wait any more.
    #[cold]
    pub(super) fn release(&mut self, out: &mut Actions<M>) {
        let fullness = self.fullness();
        let mut held = core::mem::take(&mut self.held);
        held.sort_unstable_by_key(|held| held.stream);
        held.retain_mut(|held| {
            let key = self.streams.find(held.stream);
            let holding = key.filter(|key| self.holds(*key, fullness));
            let due = holding.and_then(|key| self.stuck_at(key));
            if held.patience.map(|ticket| self.queues.due(ticket)) != due {
                held.patience.take().into_iter().for_each(|ticket| self.queues.leave(ticket));
                let due = holding.zip(due);
                held.patience = due.map(|(key, due)| self.queues.enter(Queue::Hold, key.0, due));
            }
            if holding.is_none() {
                if let Some(key) = key {
                    self.streams[key].holds = false;
                }
                out.push(Action::Release { stream: held.stream });
            }
            holding.is_some()
        });
        self.held = held;
    }

    /// Notes that a stream is stuck, and is in no queue any more.
    pub(super) fn lose_patience(&mut self, key: StreamKey) {
        let stream = self.streams[key].id;
        for held in self.held.iter_mut().filter(|held| held.stream == stream) {
            held.patience = None;
        }
    }

    /// Returns the connection that carries a stream, unless its reader is stalled.
    pub(super) fn reader(&self, key: StreamKey) -> Option<&Connection> {
        let carrier = self.streams[key].carrier?;
        Some(&self.connections[carrier]).filter(|carrier| !carrier.is_stalled)
    }

    /// Returns how a stream stands whose events may be evicted.
    pub(super) fn standing(&self, key: StreamKey) -> Standing {
        match self.reader(key) {
            None => Standing::Unread,
            Some(_) if self.stuck_at(key).is_some_and(|due| due <= self.now) => Standing::Stuck,
            Some(_) => Standing::Read,
        }
    }

    /// Returns whether more may come on a stream whose reader makes progress and trails: by
    /// half, or at all where the session is full.
    fn holds(&self, key: StreamKey, fullness: Fullness) -> bool {
        if fullness == Fullness::Low || !self.streams[key].is_open() {
            return false;
        }
        let (events, bytes) = self.trailing(key);
        let trails_by_half = events.saturating_mul(2) >= self.config.stream_events_max
            || bytes.saturating_mul(2) >= self.config.stream_bytes_max as u64;
        events > 0
            && (trails_by_half || fullness == Fullness::Full)
            && self.stuck_at(key).is_none_or(|due| self.now < due)
    }

    /// Returns how much of what the session may keep is used up.
    fn fullness(&self) -> Fullness {
        let max = self.config.session_bytes_max;
        if self.bytes.saturating_mul(2) < max {
            return Fullness::Low;
        }
        let is_full = |bytes: u64| bytes.saturating_mul(4) >= (max as u64).saturating_mul(3);
        if is_full(self.bytes as u64) && is_full(self.untaken()) {
            Fullness::Full
        } else {
            Fullness::Half
        }
    }

    /// Returns what was recorded that readers have still to take, in bytes.
    fn untaken(&self) -> u64 {
        let streams = self.queues.iter(Queue::Eventful).map(|(key, _)| StreamKey(key));
        streams.map(|key| self.trailing(key).1).fold(0, u64::saturating_add)
    }

    /// Returns how many events the reader of a stream has still to take, and what was
    /// recorded from the first of them on, in bytes: nothing without a reader.
    fn trailing(&self, key: StreamKey) -> (usize, u64) {
        let reader = self.reader(key);
        reader.map_or((0, 0), |it| self.streams[key].log.trailing(it.cursor.untaken()))
    }

    /// Returns when a stream is stuck, if nothing new is taken until then: its readers were
    /// silent for too long, the time without a reader not counted.
    fn stuck_at(&self, key: StreamKey) -> Option<Instant> {
        let Stream { pending, carrier, earlier_silence, .. } = &self.streams[key];
        let reader = &self.connections[(*carrier)?];
        if !reader.cursor.is_outstanding() {
            return None;
        }
        let timeouts = self.config.timeouts();
        let may_stall = self.config.stall_timeout_max.is_some();
        let stall = may_stall.then(|| reader.pace.timeout(timeouts.stall));
        let are_others_pending = self.requests.pending.len() > *pending;
        let hold = are_others_pending.then(|| timeouts.hold.nanos());
        let patience = stall.into_iter().chain(hold).min().filter(|nanos| *nanos < u64::MAX)?;
        let left = patience.saturating_sub(nanos(*earlier_silence));
        reader.since.due(Timeout::of_nanos(left)).unless_never()
    }
}
