//! Attaching, detaching and closing of connections, and their acknowledgements.

use super::{
    Session,
    connection::{ConnectionKey, Role, Source},
    stream::{STANDALONE, Stage, Stream, StreamKey},
};
use crate::{
    ANSWER_INDEX, Action, Actions, CloseReason, ConnectionId, CutReason, EventId, Logged, Report,
    StreamId, config::StallTimeout, time::Timeout, timers::TimerKind,
};

impl<C, S: Clone> Session<C, S> {
    /// Attaches a connection to a stream, and sends it what follows its cursor.
    pub(super) fn attach(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        primes: bool,
        out: &mut Actions<C, S>,
    ) {
        let attached = &mut self.streams[stream];
        attached.attach(connection);
        if let Some(timer) = attached.take_orphan_timer() {
            self.timers.remove(timer);
        }
        self.clear_retry(stream);
        self.drop_deferred_disconnect(stream);
        self.cancel_delivery_timers(stream, out);
        // May close the connection, if the stream is complete.
        self.send_logged(stream, connection, out);
        if primes
            && !self.connections[connection].cursor.has_unacknowledged()
            && (self.commits.is_none() || self.is_at_head(stream, connection))
        {
            self.send_priming(stream, connection, out);
        }
    }

    /// Handles an acknowledgement: the body of a connection has pulled events.
    pub(super) fn on_acknowledged(
        &mut self,
        id: ConnectionId,
        through: u64,
        out: &mut Actions<C, S>,
    ) {
        let Some(key) = self.connections.find(id) else {
            return;
        };
        self.acknowledge(key, through, out);
        self.arm_stall_timer(key);
        if let Role::Attached(stream) = self.connections[key].role() {
            self.enforce_stream_limits(stream, out);
            self.send_logged(stream, key, out);
        }
    }

    /// Handles a closed connection.
    pub(super) fn on_connection_closed(
        &mut self,
        id: ConnectionId,
        through: Option<u64>,
        out: &mut Actions<C, S>,
    ) {
        let Some(key) = self.connections.find(id) else {
            return;
        };
        if let Some(through) = through
            && through >= self.connections[key].cursor.first_unacknowledged()
        {
            self.acknowledge(key, through, out);
        }
        self.detach(key, out);
    }

    /// Removes a connection, and detaches it from its stream.
    pub(super) fn detach(&mut self, key: ConnectionKey, out: &mut Actions<C, S>) {
        let connection = &self.connections[key];
        let (role, awaits_json) = (connection.role(), connection.awaits_json);
        let first_unacknowledged = connection.cursor.first_unacknowledged();
        self.remove_connection(key);
        let stream = match role {
            Role::Initialize | Role::Draining(Source::Initialize) => {
                return self.on_initialize_connection_closed(first_unacknowledged, out);
            }
            Role::Attached(stream) | Role::Draining(Source::Stream(stream)) => {
                self.streams[stream].id
            }
            Role::Shadow => StreamId::Standalone,
            Role::Draining(Source::Removed(id)) => id,
        };
        if awaits_json && first_unacknowledged <= ANSWER_INDEX {
            out.push(Action::Report(Report::ResponseLost { stream }));
        }
        match role {
            Role::Attached(stream) => {
                let is_standalone = stream == STANDALONE;
                match is_standalone.then(|| self.connections.promote_shadow()).flatten() {
                    Some(shadow) => self.promote(shadow, out),
                    None => self.on_detached(stream, out),
                }
            }
            Role::Initialize | Role::Shadow | Role::Draining(_) => {}
        }
    }

    /// Closes a connection, which drains.
    pub(super) fn close_connection(
        &mut self,
        key: ConnectionKey,
        reason: CloseReason,
        out: &mut Actions<C, S>,
    ) {
        self.add_silence(key);
        let connection = &mut self.connections[key];
        out.push(Action::Close { connection: connection.id, reason });
        if matches!(reason, CloseReason::Cancelled | CloseReason::Abandoned) {
            connection.awaits_json = false;
        }
        if let Role::Attached(stream) = connection.role() {
            self.streams[stream].drain(key);
        }
        self.connections.drain(key);
        self.arm_stall_timer(key);
    }

    /// Sends a connection the logged events that its window admits, and the gaps before them.
    /// Closes it if it has caught up with a complete stream.
    pub(super) fn send_logged(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        out: &mut Actions<C, S>,
    ) {
        self.replay(stream, connection, out);
        self.arm_stall_timer(connection);
        self.close_if_caught_up(stream, out);
    }

    /// Sends a connection what its window admits and is committed, in one pass over the log.
    fn replay(&mut self, stream: StreamKey, connection: ConnectionKey, out: &mut Actions<C, S>) {
        let end = self.send_end(stream);
        let last = end.saturating_sub(1);
        let has_logging = self.initialized.is_some_and(|result| result.logging);
        let Self { streams, connections, config, .. } = self;
        let Stream { id, log, .. } = &streams[stream];
        let attached = &mut connections[connection];
        let mut rest = log.range(attached.cursor.next()..end);
        let mut logged = rest.next();
        loop {
            let next = attached.cursor.next();
            let before = logged.map_or(last, |logged| logged.index - 1);
            let gap_end = log.missed_through().min(before);
            let gap = if next <= gap_end { log.gap(next, gap_end) } else { None };
            let index = match (gap, logged) {
                (Some((_, index)), _) => index,
                (None, Some(logged)) => logged.index,
                (None, None) => break,
            };
            if !attached.cursor.admits(index, config.window_events_max) {
                break;
            }
            let id = EventId::new(*id, index);
            if let Some((first, _)) = gap {
                out.push(attached.gap_action(id, first, has_logging));
            } else if let Some(Logged { entry, .. }) = logged {
                out.push(attached.entry_action(id, entry));
                logged = rest.next();
            }
            attached.cursor.sent(index);
        }
    }

    /// Discards the unacknowledged events of a connection, which are sent on another one.
    pub(super) fn discard(&mut self, key: ConnectionKey, out: &mut Actions<C, S>) {
        self.add_silence(key);
        let connection = &mut self.connections[key];
        if !connection.cursor.has_unacknowledged() {
            return;
        }
        connection.cursor.discard();
        connection.is_stalled = false;
        if let Some(timer) = connection.stall_timer.take() {
            self.timers.remove(timer);
        }
        out.push(Action::Discard { connection: connection.id });
        self.remove_unlogged(key, u64::MAX);
        self.arm_stall_timer(key);
    }

    /// Arms the stall timer of a connection that has unacknowledged events, or that drains and
    /// was not reported as closed.
    pub(super) fn arm_stall_timer(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        let has_unacknowledged = connection.cursor.has_unacknowledged();
        if connection.is_stalled
            || connection.stall_timer.is_some()
            || !has_unacknowledged && !matches!(connection.role(), Role::Draining(_))
        {
            return;
        }
        connection.silent_since = self.now;
        let timeouts = self.config.timeouts();
        let (kind, timeout) = if has_unacknowledged && self.config.stall_timeout_max.is_some() {
            let nanos = connection.stall_estimator.timeout(timeouts.stall);
            (stall_timer_kind(nanos, timeouts.stall), Timeout::from_nanos(nanos))
        } else {
            (TimerKind::StallDisconnect, timeouts.stall_disconnect)
        };
        connection.stall_timer =
            Some(self.timers.insert(kind, key.0, self.now.deadline_after(timeout)));
    }

    /// Records an acknowledgement on a connection. Even without a further event it is progress:
    /// the reader has pulled part of the next event.
    fn acknowledge(&mut self, key: ConnectionKey, through: u64, out: &mut Actions<C, S>) {
        if !self.connections[key].cursor.has_unacknowledged() {
            return;
        }
        let is_behind = self.is_behind(key);
        let connection = &mut self.connections[key];
        if is_behind {
            let limits = self.config.timeouts().stall;
            connection.stall_estimator.record_pause(connection.silent_since, self.now, limits);
        } else {
            connection.stall_estimator.record_pause_at_head(connection.silent_since, self.now);
        }
        connection.silent_since = self.now;
        connection.is_stalled = false;
        if let Some(timer) = connection.stall_timer.take() {
            self.timers.remove(timer);
        }
        let acknowledged = connection.cursor.acknowledge(through);
        connection.has_acknowledged |= acknowledged.is_some();
        let Some(acknowledged) = acknowledged else {
            return;
        };
        let stream = connection.role().stream();
        self.remove_unlogged(key, acknowledged);
        if let Some(stream) = stream {
            self.acknowledge_stream(stream, acknowledged, out);
        }
    }

    /// Cuts a connection whose reader has acknowledged nothing for too long.
    pub(super) fn cut_stalled(&mut self, key: ConnectionKey, out: &mut Actions<C, S>) {
        self.reset_idle_timer();
        let reason = CutReason::Stalled;
        out.push(Action::Cut { connection: self.connections[key].id, reason });
        self.detach(key, out);
    }

    /// Cuts a connection whose stream its client has resumed on another one.
    pub(super) fn cut_replaced(&mut self, key: ConnectionKey, out: &mut Actions<C, S>) {
        let connection = self.connections[key].id;
        self.remove_connection(key);
        out.push(Action::Cut { connection, reason: CutReason::Replaced });
    }

    /// Returns whether a connection is attached to a stream that has committed events it was not
    /// sent.
    fn is_behind(&self, key: ConnectionKey) -> bool {
        let connection = &self.connections[key];
        let next = connection.cursor.next();
        connection.role().attached_to().is_some_and(|stream| {
            let log = &self.streams[stream].log;
            let is_behind = !log.ends_before(next);
            is_behind
                && (self.commits.is_none() || log.range(next..self.send_end(stream)).len() > 0)
        })
    }

    /// Removes a connection from its stream, with its timer and what it has in flight.
    fn remove_connection(&mut self, key: ConnectionKey) {
        self.add_silence(key);
        self.remove_unlogged(key, u64::MAX);
        let connection = &self.connections[key];
        if let Some(timer) = connection.stall_timer {
            self.timers.remove(timer);
        }
        if let Some(stream) = connection.role().stream() {
            self.streams[stream].can_resume |= connection.can_resume;
            self.streams[stream].remove_connection(key);
        }
        self.connections.remove(key);
    }

    /// Adds the silence of an attached connection to that of the stream's previous readers.
    fn add_silence(&mut self, key: ConnectionKey) {
        let connection = &self.connections[key];
        if let Role::Attached(stream) = connection.role() {
            let earlier = &mut self.streams[stream].earlier_silence;
            *earlier = earlier.saturating_add(connection.silence(self.now));
        }
    }

    /// Attaches a promoted shadow to the standalone stream.
    fn promote(&mut self, shadow: ConnectionKey, out: &mut Actions<C, S>) {
        let acknowledged = self.streams[STANDALONE].acknowledged;
        let primes = !self.connections[shadow].has_acknowledged && self.uses_priming();
        self.connections[shadow].cursor.skip(acknowledged);
        self.attach(STANDALONE, shadow, primes, out);
    }

    /// Handles the detachment of a stream.
    pub(super) fn on_detached(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        self.drop_deferred_disconnect(stream);
        let deadline =
            self.client_expected_at(stream).deadline_after(self.config.timeouts().orphan);
        if let Some(orphan_timer) = self.streams[stream].orphan_timer_mut() {
            *orphan_timer = Some(self.timers.insert(TimerKind::Orphan, stream.0, deadline));
        }
        match self.streams[stream].stage() {
            Stage::Standalone | Stage::Open { .. } => self.start_delivery_timers(stream, out),
            Stage::Complete { .. } => self.retain(stream, out),
            Stage::Retained { .. } => {}
        }
    }
}

/// Returns the kind of a stall timer. Most timeouts are at a limit. Each limit has a kind of its
/// own, in which insertion takes constant time.
fn stall_timer_kind(nanos: u64, limits: StallTimeout) -> TimerKind {
    if nanos >= limits.max {
        TimerKind::StallLongest
    } else if nanos > limits.min {
        TimerKind::Stall
    } else {
        TimerKind::StallShortest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_at_a_limit_have_kinds_of_their_own() {
        let limits = StallTimeout { min: 10, max: 100 };
        assert_eq!(stall_timer_kind(10, limits), TimerKind::StallShortest);
        assert_eq!(stall_timer_kind(11, limits), TimerKind::Stall);
        assert_eq!(stall_timer_kind(99, limits), TimerKind::Stall);
        assert_eq!(stall_timer_kind(100, limits), TimerKind::StallLongest);
        let equal = StallTimeout { min: 10, max: 10 };
        assert_eq!(stall_timer_kind(10, equal), TimerKind::StallLongest);
    }
}
