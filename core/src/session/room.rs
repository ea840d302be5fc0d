//! Room for new events: what may be evicted, and in which order.

use alloc::collections::BinaryHeap;
use core::{cmp::Reverse, ops::Range};

use super::{Session, backpressure::ReaderState, stream::StreamKey};
use crate::{
    Action, Actions, Report, RequestId, UnansweredReason, log::Evicted, timers::TimerKind,
};

impl<C, S> Session<C, S> {
    /// Returns whether there is room for an event: the session can keep it if it evicts what
    /// neither is in flight nor awaited by an active reader.
    pub(super) fn has_room(&self, cost: usize) -> bool {
        self.fits(cost) || self.room(cost) >= cost
    }

    /// Returns whether an event can be kept without an eviction.
    pub(super) fn fits(&self, cost: usize) -> bool {
        !self.exceeds(cost, self.limit.bytes_max)
    }

    /// Returns the cost of the largest event for which there is room, at most `wanted`.
    #[cold]
    pub(super) fn room(&self, wanted: usize) -> usize {
        let (kept, max) = (self.kept_bytes(), self.limit.bytes_max);
        let needed = kept.min(kept.saturating_add(wanted).saturating_sub(max));
        if needed == 0 {
            return wanted;
        }
        let mut evictable = 0_usize;
        for key in self.streams.non_empty() {
            let awaited = match self.reader_state(key) {
                ReaderState::Active => self.awaited(key),
                ReaderState::Stuck | ReaderState::Absent => self.in_flight(key),
            };
            for logged in self.streams[key].log.outside(awaited) {
                evictable += logged.entry.cost();
                if evictable >= needed {
                    return wanted;
                }
            }
        }
        (max + evictable).saturating_sub(kept).min(wanted)
    }

    /// Returns the indexes of a stream that are in flight.
    fn in_flight(&self, stream: StreamKey) -> Range<u64> {
        let holder = self.streams[stream].holder();
        holder.map_or(0..0, |holder| self.connections[holder].cursor.in_flight())
    }

    /// Returns the indexes of a stream that its reader has yet to acknowledge; without a reader,
    /// those that are in flight.
    fn awaited(&self, stream: StreamKey) -> Range<u64> {
        match self.reader(stream) {
            Some(reader) => reader.cursor.first_unacknowledged()..u64::MAX,
            None => self.in_flight(stream),
        }
    }

    /// Returns whether what is kept exceeds `bytes_max`, together with a new event. A single event
    /// may be larger.
    fn exceeds(&self, cost: usize, bytes_max: usize) -> bool {
        let kept = self.kept_bytes();
        kept > 0 && kept.saturating_add(cost) > bytes_max
    }

    /// Returns whether a log exceeds the limits of a stream, if events of it with this number and
    /// cost do not count.
    fn exceeds_stream_limits(&self, stream: StreamKey, exempt: (usize, usize)) -> bool {
        let log = &self.streams[stream].log;
        let (events, bytes) = (log.len() - exempt.0, log.bytes() - exempt.1);
        let bytes_max = self.config.stream_bytes_max;
        // A single event that exceeds the limit is still kept for its reader.
        let single = usize::from(bytes_max > 0);
        events > self.config.stream_events_max || bytes > bytes_max && events > single
    }

    /// Returns the number and the cost of the logged events of a stream that are in flight.
    fn logged_in_flight(&self, stream: StreamKey) -> (usize, usize) {
        let in_flight = self.streams[stream].log.range(self.in_flight(stream));
        let costs = in_flight.map(|logged| logged.entry.cost()).filter(|cost| *cost > 0);
        costs.fold((0, 0), |(events, bytes), cost| (events + 1, bytes + cost))
    }

    /// Returns the index of the oldest event of a stream that was acknowledged, and that its
    /// reader does not await again.
    fn oldest_acknowledged(&self, key: StreamKey) -> Option<u64> {
        let oldest = self.oldest_outside(key, self.awaited(key));
        oldest.filter(|index| *index <= self.streams[key].acknowledged)
    }

    /// Returns the index of the oldest event of a stream that is not in flight.
    fn oldest_unsent(&self, key: StreamKey) -> Option<u64> {
        self.oldest_outside(key, self.in_flight(key))
    }

    /// Returns the index of the oldest event of a stream that is not in `range`.
    fn oldest_outside(&self, key: StreamKey, range: Range<u64>) -> Option<u64> {
        self.streams[key].log.oldest_outside(range).map(|oldest| oldest.index)
    }

    /// Returns the number in the session-wide sequence of an event in the log of a stream.
    fn sequence(&self, key: StreamKey, index: u64) -> Option<u64> {
        self.streams[key].log.first_from(index).map(|logged| logged.sequence)
    }

    /// Returns the place of a stream in the order of eviction, if it has an acknowledged event to
    /// evict: that of the oldest one.
    fn acknowledged_order(&self, key: StreamKey) -> Option<u64> {
        self.sequence(key, self.oldest_acknowledged(key)?)
    }

    /// Returns the place of a stream in the order of eviction, if it has an event that is not in
    /// flight, and a reader in a state up to `last`: by that state, and the oldest such event.
    fn unsent_order(&self, key: StreamKey, last: ReaderState) -> Option<(ReaderState, u64)> {
        let state = Some(self.reader_state(key)).filter(|state| *state <= last)?;
        let index = self.oldest_unsent(key)?;
        Some((state, self.sequence(key, index)?))
    }

    /// Iterates over the streams that have a place in an order.
    fn ordered<O>(
        &self,
        order: impl Fn(&Self, StreamKey) -> Option<O>,
    ) -> impl Iterator<Item = Reverse<(O, StreamKey)>> {
        self.streams.non_empty().filter_map(move |key| Some(Reverse((order(self, key)?, key))))
    }
}

impl<C, S: Clone> Session<C, S> {
    /// Evicts events and streams until a new event can be kept, if it costs something. Returns
    /// whether it can.
    #[inline]
    pub(super) fn make_room(&mut self, cost: usize, out: &mut Actions<C, S>) -> bool {
        let max = self.limit.bytes_max;
        // The last quarter is for events that were not acknowledged.
        let acknowledged_max = max - max.div_ceil(4);
        if self.kept_bytes().saturating_add(cost) <= acknowledged_max || cost == 0 {
            return true;
        }
        self.evict_acknowledged(cost, acknowledged_max, out);
        self.evict_unacknowledged(cost, ReaderState::Active, out);
        self.fits(cost)
    }

    /// Evicts events until the limit holds, but none that an active reader awaits.
    pub(super) fn evict_evictable(&mut self, out: &mut Actions<C, S>) {
        self.evict_acknowledged(0, self.limit.bytes_max, out);
        self.evict_unacknowledged(0, ReaderState::Stuck, out);
    }

    /// Evicts acknowledged events and fully acknowledged streams.
    #[cold]
    fn evict_acknowledged(&mut self, cost: usize, max: usize, out: &mut Actions<C, S>) {
        while self.exceeds(cost, max)
            && let Some(stream) = self.timers.first(TimerKind::RetainedAcknowledged)
        {
            self.replace_with_tombstone(StreamKey(stream), false, out);
        }
        self.evict_in_order(
            |session| session.exceeds(cost, max),
            Self::acknowledged_order,
            Self::oldest_acknowledged,
            out,
        );
    }

    /// Evicts unacknowledged events of streams whose reader is in a state up to `last`.
    #[cold]
    fn evict_unacknowledged(&mut self, cost: usize, last: ReaderState, out: &mut Actions<C, S>) {
        self.evict_in_order(
            |session| !session.fits(cost),
            |session, stream| session.unsent_order(stream, last),
            Self::oldest_unsent,
            out,
        );
    }

    /// Evicts the `oldest` events of one stream after the other, in their order, until it is enough.
    fn evict_in_order<O: Ord>(
        &mut self,
        exceeds: impl Fn(&Self) -> bool,
        order: impl Fn(&Self, StreamKey) -> Option<O>,
        oldest: impl Fn(&Self, StreamKey) -> Option<u64>,
        out: &mut Actions<C, S>,
    ) {
        if !exceeds(self) {
            return;
        }
        // An eviction does not change the order of the other streams. Usually the first stream is
        // enough, and the others need not be put in order.
        let mut others: Option<BinaryHeap<_>> = None;
        let mut next = self.ordered(&order).max();
        while let Some(Reverse((_, stream))) = next {
            while exceeds(self)
                && let Some(index) = oldest(self, stream)
            {
                self.evict(stream, index, out);
            }
            if !exceeds(self) {
                return;
            }
            next = others.get_or_insert_with(|| self.ordered(&order).collect()).pop();
        }
    }

    /// Evicts events of a stream until its limits hold, as far as possible. Without a reader, what
    /// is still in flight does not count.
    #[inline]
    pub(super) fn enforce_stream_limits(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        if self.exceeds_stream_limits(stream, (0, 0)) {
            self.evict_by_stream_limits(stream, out);
        }
    }

    fn evict_by_stream_limits(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        if let Some(reader) = self.reader(stream) {
            let awaited = reader.cursor.first_unacknowledged()..u64::MAX;
            self.evict_outside(stream, awaited, (0, 0), out);
        } else {
            let exempt = self.logged_in_flight(stream);
            self.evict_outside(stream, self.in_flight(stream), exempt, out);
        }
    }

    #[inline]
    fn evict_outside(
        &mut self,
        stream: StreamKey,
        awaited: Range<u64>,
        exempt: (usize, usize),
        out: &mut Actions<C, S>,
    ) {
        while self.exceeds_stream_limits(stream, exempt)
            && let Some(index) = self.oldest_outside(stream, awaited.clone())
        {
            self.evict(stream, index, out);
        }
    }

    /// Evicts an event that is not in flight.
    fn evict(&mut self, stream: StreamKey, index: u64, out: &mut Actions<C, S>) {
        let Some((evicted, cost)) = self.streams[stream].log.evict(index) else { return };
        self.logged_bytes -= cost;
        match evicted {
            Evicted::Response(request) => self.report_evicted(stream, request, out),
            Evicted::ServerRequest if index > self.streams[stream].acknowledged => {
                let id = self.streams[stream].id;
                if let Some(request) = self.server_requests.at_event(id, index) {
                    self.fail_server_request(request, UnansweredReason::Evicted, out);
                }
            }
            Evicted::ServerRequest | Evicted::Notification => {}
        }
    }

    pub(super) fn report_evicted(&self, stream: StreamKey, id: RequestId, out: &mut Actions<C, S>) {
        let stream = self.streams[stream].id;
        out.push(Action::Report(Report::ResponseEvicted { stream, id }));
    }
}
