//! Restoration of a session from an untrusted snapshot, and the records after it.

use alloc::{boxed::Box, vec::Vec};
use core::iter;

use super::{
    Phase, Session,
    commit::Commits,
    requests::ServerRequest,
    restore::ensure,
    stream::{Outcome, STANDALONE, Stage, Stream, StreamKey, StreamRequest},
};
use crate::{
    Actions, Change, CloseReason, Config, Entry, Failure, FailureReason, Instant, MessageKind,
    ProgressToken, Record, RequestId, RequestOutcome, StreamId, ValidConfig,
    config::BYTES_MAX,
    snapshot::{PhaseState, RestoreError, RoleState, Snapshot, TimerState, TimerTarget},
};

impl<C, S: Clone> Session<C, S> {
    /// Restores a session at `now` from a snapshot and the records after it, where the process that
    /// had the session may have ended without a word.
    ///
    /// As with [`restore`](Self::restore), all connections of the snapshot are closed first. Records
    /// that the snapshot has are ignored. Everything is committed then, and what concerned the other
    /// process only is forgotten: that it was draining, a lower limit, and senders that wait. The
    /// client is presumed to have the response to `initialize`.
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
        session.close_all_connections(out);
        if !matches!(session.phase, Phase::Live) {
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

    /// Repeats the changes that the snapshot does not have.
    fn fold(
        &mut self,
        records: impl IntoIterator<Item = Record<S>>,
        out: &mut Actions<C, S>,
    ) -> Result<(), RestoreError> {
        let snapshot = self.sequence;
        for Record { sequence, change } in records {
            let next = self.sequence.saturating_add(u64::from(change.takes_number()));
            if sequence < snapshot || sequence == snapshot && change.takes_number() {
                continue;
            }
            ensure(sequence == next, "a record is missing")?;
            self.repeat(change, out)?;
        }
        Ok(())
    }

    fn repeat(&mut self, change: Change<S>, out: &mut Actions<C, S>) -> Result<(), RestoreError> {
        match change {
            Change::Opened { number, requests } => self.repeat_opening(number, requests, out)?,
            Change::Logged { stream, index, entry } => {
                self.repeat_event(stream, index, entry, out)?;
            }
            Change::Completed { number } => {
                let stream = self.find_open(StreamId::Request(number))?;
                ensure(self.streams[stream].pending_count() == 0, "stream is not complete")?;
                self.complete(stream, out);
            }
            Change::Cancelled { number } => self.repeat_end(number, out)?,
            Change::RequestCancelled { id } => self.repeat_cancellation(id),
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
            // The end of the request was reported.
            self.resolve(&request, RequestOutcome::Result, &mut Actions::new());
            if is_reserved {
                self.reserve_id(request);
            }
        }
        if let Some(request) = asked {
            ensure(self.server_requests.find(&request).is_none(), "duplicate server request id")?;
            let (timer, was_delivered) = (None, false);
            let request = ServerRequest { id: request, stream: id, index, timer, was_delivered };
            self.server_requests.add(request);
            self.start_delivery_timers(stream, out);
        }
        Ok(())
    }

    /// Repeats the cancellation of a stream. Server requests that it ended have records of their own;
    /// the client may have the others.
    fn repeat_end(&mut self, number: u64, out: &mut Actions<C, S>) -> Result<(), RestoreError> {
        ensure(number < self.streams.next_number(), "stream number was never allocated")?;
        let Some(stream) = self.streams.find(StreamId::Request(number)) else {
            // A limit has replaced it before.
            self.next_sequence();
            return Ok(());
        };
        let pending: Vec<RequestId> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            self.repeat_cancellation(id);
        }
        let last = self.streams[stream].log.last();
        self.acknowledge_stream(stream, last, out);
        // It may have been over a limit, which replaces it.
        if self.streams.find(StreamId::Request(number)).is_some() {
            self.cancel_stream(stream, CloseReason::Cancelled, out);
        } else {
            self.next_sequence();
        }
        Ok(())
    }

    fn repeat_cancellation(&mut self, id: RequestId) {
        let resolved = self.resolve(&id, RequestOutcome::Cancelled, &mut Actions::new());
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
