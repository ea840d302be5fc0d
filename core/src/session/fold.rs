//! Restoration of a session from an untrusted snapshot, and the records after it.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::iter;

use super::{
    Phase, Session,
    commit::Commits,
    requests::ServerRequest,
    restore::ensure,
    stream::{Outcome, STANDALONE, Stage, Stream, StreamKey, StreamRequest},
};
use crate::{
    Action, Actions, Change, CloseReason, Config, Entry, Failure, FailureReason, Instant,
    MessageKind, ProgressToken, Record, RequestId, RequestOutcome, StreamId, UnansweredReason,
    ValidConfig,
    config::BYTES_MAX,
    snapshot::{PhaseState, RestoreError, RoleState, Snapshot, TimerState, TimerTarget},
    timers::TimerKind,
};

/// How many requests, streams and server requests there may be while records are repeated, if the
/// limits of the config are lower: those of the other process may have been higher.
const COUNT_MAX: usize = 4_096;

/// The server requests that a limit has ended, and that were waiting in the other process so far.
type Failed = BTreeMap<RequestId, UnansweredReason>;

impl<C, S: Clone> Session<C, S> {
    /// Restores a session at `now` from a snapshot and the records after it, where the process that
    /// had the session may have ended without a word.
    ///
    /// As with [`restore`](Self::restore), all connections of the snapshot are closed first. Records
    /// that the snapshot has are ignored. Everything is committed then, and what concerned the other
    /// process only is forgotten: that it was draining, a lower limit, and senders that wait. The
    /// client is presumed to have the response to `initialize`.
    ///
    /// The actions are those of the end only: what the other process has done is not repeated. While
    /// records are repeated, no more than twice `session_bytes_max` is kept.
    ///
    /// With a `skip`, the next index of each open stream and the next stream number leave that many
    /// out. Then an event id never names two events, even if the last records were lost, or events
    /// were sent that have no record: priming events, and gaps. It may only be 0 if the snapshot was
    /// taken after everything that the other process has sent; 2^32 is enough for four billion
    /// restores.
    ///
    /// # Errors
    ///
    /// Returns a [`RestoreError`] if a record is missing, or if the records or the snapshot are
    /// inconsistent. Their storage is at fault.
    pub fn restore_with(
        snapshot: Snapshot<S>,
        records: impl IntoIterator<Item = Record<S>>,
        skip: u64,
        config: ValidConfig,
        now: Instant,
        out: &mut Actions<C, S>,
    ) -> Result<Self, RestoreError> {
        let mut snapshot = snapshot;
        let state = &mut snapshot.state;
        state.was_used |= state.phase == PhaseState::Live;
        state.drain_retry = None;
        state.held_streams.clear();
        (state.bytes_max, state.is_shrinking) = (None, false);
        // None is promoted, so that no priming event takes the index of a record.
        state.shadows.clear();
        state.connections.retain(|connection| connection.role != RoleState::Shadow);
        restart_timers(&mut state.timers, &config);
        let mut session = Self::restore_state(snapshot, config, now)?;
        session.commits = None;
        if !matches!(session.phase, Phase::Live) {
            session.close_all_connections(out);
            session.commits = session.config.commits.then(Box::default);
            let has_records = records.into_iter().next().is_some();
            ensure(!has_records, "records of a session that is not initialized")?;
            return Ok(session);
        }
        session.fold(records, out)?;
        session.complete_answered(out);
        session.skip(skip);
        session.presume_sent();
        session.reset_idle_timer();
        session.limit.is_shrinking = true;
        session.flush_deferred(out);
        if session.config.commits {
            session.commits = Some(Box::new(Commits::committed(session.sequence)));
        }
        Ok(session)
    }

    /// Closes all connections, and repeats the changes that the snapshot does not have.
    fn fold(
        &mut self,
        records: impl IntoIterator<Item = Record<S>>,
        out: &mut Actions<C, S>,
    ) -> Result<(), RestoreError> {
        let mut repeated = Actions::new();
        self.close_all_connections(&mut repeated);
        let mut failed = take_failed(&mut repeated).collect::<Failed>();
        let snapshot = self.sequence;
        for Record { sequence, change } in records {
            let next = self.sequence.saturating_add(u64::from(change.takes_number()));
            if sequence < snapshot || sequence == snapshot && change.takes_number() {
                continue;
            }
            ensure(sequence == next, "a record is missing")?;
            match &change {
                Change::ServerRequestEnded { id, .. } => drop(failed.remove(id)),
                Change::Logged {
                    entry: Entry::Message { kind: MessageKind::Request(id), .. },
                    ..
                } => ensure(!failed.contains_key(id), "duplicate server request id")?,
                Change::Logged { .. }
                | Change::Opened { .. }
                | Change::Missed { .. }
                | Change::Completed { .. }
                | Change::Cancelled { .. }
                | Change::RequestCancelled { .. }
                | Change::TaskCreated { .. }
                | Change::Acknowledged { .. } => {}
            }
            self.repeat(change, &mut repeated)?;
            self.limit_repeated(&mut repeated);
            failed.extend(take_failed(&mut repeated));
            self.check_counts(failed.len())?;
        }
        for (id, reason) in failed {
            out.push(Action::FailServerRequest { id, reason });
        }
        Ok(())
    }

    /// Evicts what is far beyond the limit, and releases reserved ids. The other process may have
    /// done so at another time, so nothing is evicted that is not much more.
    fn limit_repeated(&mut self, out: &mut Actions<C, S>) {
        if self.logged_bytes > self.limit.bytes_max.saturating_mul(2) {
            self.evict_evictable(out);
        }
        let Config { pending_requests_max, cancelled_requests_max, .. } = *self.config;
        let ids_max = COUNT_MAX.max(pending_requests_max.saturating_add(cancelled_requests_max));
        while self.timers.weight(TimerKind::Cancelled) > ids_max
            && let Some(first) = self.timers.first(TimerKind::Cancelled)
        {
            self.release_id(first);
        }
    }

    /// Checks that there are no more requests, streams and server requests than the other process
    /// can have had.
    fn check_counts(&self, failed: usize) -> Result<(), RestoreError> {
        let is_within = |count: usize, max: usize| count <= max.max(COUNT_MAX);
        let Config { pending_requests_max, streams_max, server_requests_max, .. } = *self.config;
        ensure(is_within(self.requests.pending.len(), pending_requests_max), "too many requests")?;
        ensure(is_within(self.streams.in_use(), streams_max), "too many streams")?;
        let server_requests = self.server_requests.len() + failed;
        ensure(is_within(server_requests, server_requests_max), "too many server requests")
    }

    fn repeat(&mut self, change: Change<S>, out: &mut Actions<C, S>) -> Result<(), RestoreError> {
        match change {
            Change::Opened { number, requests } => self.repeat_opening(number, requests, out)?,
            Change::Logged { stream, index, entry } => {
                self.repeat_event(stream, index, entry, out)?;
            }
            Change::Missed { stream, index } => {
                let stream = self.find_open(stream)?;
                ensure(index > self.streams[stream].log.last(), "index was used before")?;
                self.use_index(stream, index);
                self.streams[stream].log.note_missed(index);
            }
            Change::Completed { number } => {
                let stream = self.find_open(StreamId::Request(number))?;
                ensure(self.streams[stream].pending_count() == 0, "stream is not complete")?;
                self.complete(stream, out);
            }
            Change::Cancelled { number } => self.repeat_end(number, out)?,
            Change::RequestCancelled { id } => self.repeat_cancellation(id, out),
            Change::ServerRequestEnded { id, is_retracted } => {
                // A limit may have ended it before.
                if let Some(request) = self.server_requests.find(&id) {
                    self.end_server_request(request, is_retracted, out);
                }
            }
            Change::TaskCreated { token } => {
                if !self.requests.tokens.contains(&token) && !self.requests.tasks.contains(&token) {
                    self.requests.tasks.add(token, self.config.pending_requests_max);
                }
            }
            Change::Acknowledged { stream, through } => {
                // A limit may have replaced it before.
                if let Some(stream) = self.streams.find(stream) {
                    self.use_index(stream, through);
                    self.acknowledge_stream(stream, through, out);
                }
            }
        }
        Ok(())
    }

    fn repeat_opening(
        &mut self,
        number: u64,
        requests: Vec<(RequestId, Option<ProgressToken>)>,
        out: &mut Actions<C, S>,
    ) -> Result<(), RestoreError> {
        ensure(number == self.streams.next_number(), "a stream is missing")?;
        ensure(!requests.is_empty(), "stream without a request")?;
        let batch_max = self.config.batch_max.max(COUNT_MAX);
        ensure(requests.len() <= batch_max, "too many requests in a stream")?;
        self.next_sequence();
        self.streams.allocate_number();
        let (stage, log) = (Stage::Open { orphan_timer: None }, self.streams.new_log());
        let stream = Stream::new(StreamId::Request(number), stage, log);
        let stream = self.streams.add(number, stream);
        for (id, token) in requests {
            // The other process may have released it.
            if let Some(reserved) = self.requests.cancelled.find(&id) {
                self.release_id(reserved);
            }
            let is_new = self.requests.pending.insert(id.clone(), stream);
            ensure(is_new, "duplicate pending request id")?;
            if let Some(token) = &token {
                self.requests.tasks.remove(token);
                let is_new = self.requests.tokens.insert(token.clone(), stream);
                ensure(is_new, "duplicate progress token")?;
            }
            let outcome = Outcome::Pending;
            self.streams[stream].add_request(StreamRequest { id, token, outcome });
        }
        self.on_detached(stream, out);
        Ok(())
    }

    fn repeat_event(
        &mut self,
        id: StreamId,
        index: u64,
        entry: Entry<S>,
        out: &mut Actions<C, S>,
    ) -> Result<(), RestoreError> {
        let stream = self.find_open(id)?;
        ensure(index > self.streams[stream].log.last(), "index was used before")?;
        let bytes = self.logged_bytes.checked_add(entry.cost());
        ensure(bytes.is_some_and(|bytes| bytes <= BYTES_MAX), "logs are too large")?;
        let (answered, asked) = match &entry {
            Entry::Message { kind: MessageKind::Response(id), .. } => (Some((id, false)), None),
            Entry::Failure(Failure { id, reason }) => {
                (Some((id, *reason == FailureReason::Orphaned)), None)
            }
            Entry::Message { kind: MessageKind::Request(id), .. } => (None, Some(id.clone())),
            Entry::Message { kind: MessageKind::Notification, .. } => (None, None),
        };
        let answered = answered.map(|(id, is_reserved)| (id.clone(), is_reserved));
        self.use_index(stream, index);
        self.append(stream, index, entry, out);
        if let Some((request, is_reserved)) = answered {
            let is_pending = self.requests.pending.get(&request) == Some(stream);
            ensure(is_pending, "response to a request that is not pending")?;
            self.resolve(&request, RequestOutcome::Result, out);
            if is_reserved {
                self.reserve_id(request);
            }
        }
        if let Some(request) = asked {
            ensure(self.server_requests.find(&request).is_none(), "duplicate server request id")?;
            let (timer, was_delivered) = (None, false);
            let request = ServerRequest { id: request, stream: id, index, timer, was_delivered };
            self.server_requests.add(request);
            if let Some(request) = self.server_requests.at_event(id, index) {
                self.start_delivery_timer(stream, request);
            }
        }
        Ok(())
    }

    /// Repeats the cancellation of a stream. Server requests that it ended have records of their own;
    /// the client may have the others.
    fn repeat_end(&mut self, number: u64, out: &mut Actions<C, S>) -> Result<(), RestoreError> {
        ensure(number < self.streams.next_number(), "stream number was never allocated")?;
        let id = StreamId::Request(number);
        if let Some(stream) = self.streams.find(id) {
            let pending: Vec<RequestId> = self.streams[stream].pending().cloned().collect();
            for id in pending {
                self.repeat_cancellation(id, out);
            }
            let last = self.streams[stream].log.last();
            self.acknowledge_stream(stream, last, out);
        }
        // A limit may have replaced it, or it was revived.
        if let Some(stream) = self.streams.find(id) {
            self.cancel_stream(stream, CloseReason::Cancelled, out);
        } else {
            self.streams.cancel_tombstone(number);
            self.next_sequence();
        }
        Ok(())
    }

    fn repeat_cancellation(&mut self, id: RequestId, out: &mut Actions<C, S>) {
        let resolved = self.resolve(&id, RequestOutcome::Cancelled, out);
        if resolved.is_some() {
            self.reserve_id(id);
        }
    }

    fn find_open(&self, id: StreamId) -> Result<StreamKey, RestoreError> {
        let stream = self.streams.find(id).filter(|stream| self.streams[*stream].is_open());
        stream.ok_or(RestoreError("record of a stream that is not open"))
    }

    /// Notes that an index of a stream is in use.
    fn use_index(&mut self, stream: StreamKey, index: u64) {
        let log = &mut self.streams[stream].log;
        log.skip_to(index);
        self.exhausted |= log.is_exhausted();
    }

    /// Completes streams whose last response has a record, and their completion has none.
    fn complete_answered(&mut self, out: &mut Actions<C, S>) {
        let answered = self.open_streams().into_iter();
        let answered = answered.filter(|stream| self.streams[*stream].pending_count() == 0);
        for stream in answered.collect::<Vec<_>>() {
            self.complete(stream, out);
        }
    }

    /// Leaves out indexes and stream numbers that may have been used.
    fn skip(&mut self, skip: u64) {
        for stream in iter::once(STANDALONE).chain(self.open_streams()) {
            let log = &mut self.streams[stream].log;
            log.skip(skip);
            self.exhausted |= log.is_exhausted();
        }
        let next = self.streams.next_number().saturating_add(skip);
        self.streams.set_next_number(next);
        self.exhausted |= next == u64::MAX;
    }

    /// Notes that clients may have event ids that no record tells of.
    fn presume_sent(&mut self) {
        self.streams[STANDALONE].is_primed = true;
        for stream in self.streams.request_streams().collect::<Vec<_>>() {
            self.streams[stream].can_resume = true;
        }
    }

    /// Returns the open request streams, by number.
    fn open_streams(&self) -> Vec<StreamKey> {
        self.streams.request_streams().filter(|stream| self.streams[*stream].is_open()).collect()
    }
}

/// Removes all actions, and returns the server requests that fail by them.
fn take_failed<C, S>(
    actions: &mut Actions<C, S>,
) -> impl Iterator<Item = (RequestId, UnansweredReason)> + use<'_, C, S> {
    actions.drain().filter_map(|action| {
        let Action::FailServerRequest { id, reason } = action else { return None };
        Some((id, reason))
    })
}

/// Starts the timers of streams and of server requests anew: whether the other process has stopped or
/// restarted them since has no record.
fn restart_timers(timers: &mut [TimerState], config: &Config) {
    for TimerState { target, remaining } in timers {
        let timeout = match target {
            TimerTarget::Delivery(_) => config.delivery_timeout,
            TimerTarget::Response(_) => config.server_request_timeout,
            TimerTarget::Orphan(_) => config.orphan_timeout,
            TimerTarget::RetainedUnacknowledged(_) | TimerTarget::RetainedAcknowledged(_) => {
                config.retention
            }
            TimerTarget::Initialize | TimerTarget::Cancelled(_) => continue,
        };
        // More may remain for a client that was asked to reconnect later.
        *remaining = timeout.map(|timeout| remaining.unwrap_or_default().max(timeout));
    }
}
