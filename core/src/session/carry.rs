//! Carrying: how connections begin, go on and end.

use super::{
    Session,
    connection::{Connection, ConnectionKey, Role, Subject},
    in_flight::Sent,
    stream::{STANDALONE, Stage, Stream, StreamKey},
};
use crate::{
    Action, Actions, AnswerFormat, ConnectionId, EndReason, EventId, Report, config::StallTimeout,
    queue::Queue, time::Timeout,
};

impl<M: Clone> Session<M> {
    /// Lets a connection carry a stream, from its cursor on.
    pub(super) fn carry(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        is_primed: bool,
        out: &mut Actions<M>,
    ) {
        self.streams[stream].carrier = Some(connection);
        if let Stage::Open { orphan } = &mut self.streams[stream].stage
            && let Some(orphan) = orphan.take()
        {
            self.queues.leave(orphan);
        }
        self.forget_retry(stream);
        self.find_listener(stream, out);
        // This may be the end of the stream.
        self.send_logged(stream, connection, out);
        if is_primed && !self.connections[connection].cursor.is_outstanding() {
            self.prime(stream, connection, out);
        }
    }

    /// Treats what a connection's body pulled out of its channel.
    pub(super) fn taken(&mut self, id: ConnectionId, through: u64, out: &mut Actions<M>) {
        let Some(key) = self.connections.find(id) else {
            return;
        };
        self.take(key, through, out);
        self.watch(key);
        let Connection { role, subject, .. } = self.connections[key];
        if let (Role::Carries, Subject::Stream(stream)) = (role, subject) {
            self.enforce_stream_limits(stream, out);
            self.send_logged(stream, key, out);
        }
    }

    /// Treats that a connection is gone.
    pub(super) fn gone(&mut self, id: ConnectionId, through: Option<u64>, out: &mut Actions<M>) {
        let Some(key) = self.connections.find(id) else {
            return;
        };
        if let Some(through) = through
            && through >= self.connections[key].cursor.untaken()
        {
            self.take(key, through, out);
        }
        self.lose(key, out);
        // What it held makes room for what others may be sent now.
        self.is_crowded = false;
    }

    /// Forgets a connection that is gone, and finds out what that means.
    pub(super) fn lose(&mut self, key: ConnectionKey, out: &mut Actions<M>) {
        let connection = self.forget(key);
        let (stream, id) = match connection.subject {
            Subject::Initialize => return self.lost_initialize(&connection, out),
            Subject::Stream(stream) => (Some(stream), self.streams[stream].id),
            Subject::Buried(id) => (None, id),
        };
        if connection.format == AnswerFormat::Json && connection.cursor.untaken() <= 1 {
            out.push(Action::Report(Report::ResponseLost { stream: id }));
        }
        let Some(stream) = stream else {
            return;
        };
        match connection.role {
            Role::Carries => {
                self.streams[stream].carrier = None;
                match self.successor(stream) {
                    Some(shadow) => self.promote(shadow, out),
                    None => self.go_on_alone(stream, out),
                }
            }
            Role::Shadows => self.connections.shadows.retain(|shadow| *shadow != key),
            Role::Drains => {
                if self.streams[stream].drain == Some(key) {
                    self.streams[stream].drain = None;
                }
            }
        }
    }

    /// Ends a connection.
    pub(super) fn end(&mut self, key: ConnectionKey, reason: EndReason, out: &mut Actions<M>) {
        let connection = &mut self.connections[key];
        out.push(Action::Close { connection: connection.id, reason });
        if !reason.drains() {
            self.forget(key);
            return;
        }
        self.note_silence(key);
        let connection = &mut self.connections[key];
        if matches!(reason, EndReason::Cancelled | EndReason::Abandoned) {
            // Nobody waits for a JSON answer any more.
            connection.format = AnswerFormat::Sse;
        }
        let carried = connection.role == Role::Carries;
        connection.role = Role::Drains;
        if let (true, Subject::Stream(stream)) = (carried, connection.subject) {
            self.streams[stream].carrier = None;
            self.streams[stream].drain = Some(key);
        }
        self.watch(key);
    }

    /// Sends a connection what it may have of what its stream has in its log.
    pub(super) fn send_logged(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        out: &mut Actions<M>,
    ) {
        let log = &self.streams[stream].log;
        let first = log.first_from(self.connections[connection].cursor.next());
        let first = first.map(|logged| Sent { index: logged.index, cost: logged.entry.cost() });
        let next = first.unwrap_or(Sent { index: log.last().saturating_add(1), cost: 0 });
        if self.admits(connection, next) {
            let carrier = &mut self.connections[connection];
            let id = self.streams[stream].id;
            if let Some(missed) = carrier.cursor.take_gap(log.missed()) {
                out.push(Action::Gap { connection: carrier.id, stream: id, missed });
            }
            if let Some(first) = first {
                self.send_from(stream, connection, first.index, out);
            }
        }
        self.finish(stream, out);
    }

    /// Sends what the window admits, from an event on that it admits.
    fn send_from(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        first: u64,
        out: &mut Actions<M>,
    ) {
        let last = self.add_replay_in_flight(stream, connection, first);
        let Stream { id, log, stage, .. } = &self.streams[stream];
        let carrier = &mut self.connections[connection];
        let range = first..last.saturating_add(1);
        carrier.cursor.sent(first, last);
        carrier.format = AnswerFormat::Sse;
        carrier.can_resume = true;
        // A replay is read when the actions are carried out. By then the log may
        // be gone with its stream, or have been written on after a deadline.
        let is_last = matches!(stage, Stage::Finishing { .. }) && log.ends_before(range.end);
        if is_last || carrier.role == Role::Shadows {
            for logged in log.range(range) {
                out.push(Action::Send {
                    connection: carrier.id,
                    index: logged.index,
                    id: Some(EventId::new(*id, logged.index)),
                    event: logged.entry.to_event(),
                });
            }
        } else {
            out.push(Action::Replay { connection: carrier.id, stream: *id, range });
        }
        self.watch(connection);
    }

    /// Takes back what a connection holds, for its stream to send it on another one.
    pub(super) fn discard(&mut self, key: ConnectionKey, out: &mut Actions<M>) {
        self.note_silence(key);
        let connection = &mut self.connections[key];
        if !connection.cursor.is_outstanding() {
            return;
        }
        connection.cursor.discard();
        connection.is_stalled = false;
        if let Some(stall) = connection.stall.take() {
            self.queues.leave(stall);
        }
        out.push(Action::Discard { connection: connection.id });
        self.remove_in_flight(key, u64::MAX);
        self.watch(key);
    }

    /// Begins to watch whether what was sent on a connection is taken, or whether one that
    /// drains and holds nothing is closed.
    pub(super) fn watch(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        let is_outstanding = connection.cursor.is_outstanding();
        if connection.is_stalled
            || connection.stall.is_some()
            || !is_outstanding && connection.role != Role::Drains
        {
            return;
        }
        connection.since = self.now;
        let timeouts = self.config.timeouts();
        let (queue, timeout) = if is_outstanding && self.config.stall_timeout_max.is_some() {
            let nanos = connection.pace.timeout(timeouts.stall);
            (stall_queue(nanos, timeouts.stall), Timeout::of_nanos(nanos))
        } else {
            (Queue::StallLimit, timeouts.stall_disconnect)
        };
        connection.stall = Some(self.queues.enter(queue, key.0, self.now.due(timeout)));
    }

    /// Notes what was taken on a connection. Where no new event was, its reader has taken
    /// more of the next one.
    fn take(&mut self, key: ConnectionKey, through: u64, out: &mut Actions<M>) {
        if !self.connections[key].cursor.is_outstanding() {
            return;
        }
        let is_behind = self.is_behind(key);
        let connection = &mut self.connections[key];
        if is_behind {
            let limits = self.config.timeouts().stall;
            connection.pace.note(connection.since, self.now, limits);
        } else {
            connection.pace.note_at_head(connection.since, self.now);
        }
        connection.since = self.now;
        connection.is_stalled = false;
        if let Some(stall) = connection.stall.take() {
            self.queues.leave(stall);
        }
        let taken = connection.cursor.acknowledge(through);
        connection.was_taken |= taken.is_some();
        let Some(taken) = taken else {
            return;
        };
        let subject = connection.subject;
        self.remove_in_flight(key, taken);
        if let Subject::Stream(stream) = subject {
            self.note_taken(stream, taken, out);
        }
    }

    /// Ends a connection whose reader has taken nothing for too long.
    pub(super) fn cut(&mut self, key: ConnectionKey, out: &mut Actions<M>) {
        self.stay_awake();
        let reason = EndReason::Stalled;
        out.push(Action::Close { connection: self.connections[key].id, reason });
        self.lose(key, out);
    }

    /// Returns whether a connection carries a stream that has more than it was sent.
    fn is_behind(&self, key: ConnectionKey) -> bool {
        let Connection { role, subject, cursor, .. } = &self.connections[key];
        match (role, subject) {
            (Role::Carries, Subject::Stream(stream)) => {
                !self.streams[*stream].log.ends_before(cursor.next())
            }
            (Role::Carries, Subject::Initialize | Subject::Buried(_))
            | (Role::Shadows | Role::Drains, _) => false,
        }
    }

    /// Lets go of a connection.
    fn forget(&mut self, key: ConnectionKey) -> Connection {
        self.note_silence(key);
        self.remove_in_flight(key, u64::MAX);
        let connection = self.connections.remove(key);
        if let Some(stall) = connection.stall {
            self.queues.leave(stall);
        }
        connection
    }

    /// Adds for how long a connection that carries its stream no longer was silent to that of
    /// the ones before it.
    fn note_silence(&mut self, key: ConnectionKey) {
        let connection = &self.connections[key];
        if let (Role::Carries, Subject::Stream(stream)) = (connection.role, connection.subject) {
            let earlier = &mut self.streams[stream].earlier_silence;
            *earlier = earlier.saturating_add(connection.silence(self.now));
        }
    }

    /// Takes out the shadow that carries a stream next.
    fn successor(&mut self, stream: StreamKey) -> Option<ConnectionKey> {
        if stream == STANDALONE { self.connections.shadows.pop() } else { None }
    }

    /// Lets a shadow carry the standalone stream.
    fn promote(&mut self, shadow: ConnectionKey, out: &mut Actions<M>) {
        let taken = self.streams[STANDALONE].taken;
        let is_primed = !self.connections[shadow].was_taken && self.primes();
        self.connections[shadow].cursor.skip(taken);
        self.carry(STANDALONE, shadow, is_primed, out);
        self.connections[shadow].role = Role::Carries;
    }

    /// Treats that a stream is without a connection.
    pub(super) fn go_on_alone(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let due = self.expected_at(stream).due(self.config.timeouts().orphan);
        match &mut self.streams[stream].stage {
            Stage::Reserved { .. } => self.cancel(stream, EndReason::Abandoned, out),
            Stage::Open { orphan } => {
                if stream != STANDALONE {
                    *orphan = Some(self.queues.enter(Queue::Orphan, stream.0, due));
                }
                self.lose_listener(stream, out);
            }
            Stage::Finishing { .. } => self.retain(stream, out),
            Stage::Retained { .. } => {}
        }
    }
}

/// Returns the queue of readers that have the same timeout, which is at a limit for most.
fn stall_queue(nanos: u64, limits: StallTimeout) -> Queue {
    if nanos >= limits.max {
        Queue::StallLongest
    } else if nanos > limits.min {
        Queue::Stall
    } else {
        Queue::StallShortest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_at_a_limit_have_queues_of_their_own() {
        let limits = StallTimeout { min: 10, max: 100 };
        assert_eq!(stall_queue(10, limits), Queue::StallShortest);
        assert_eq!(stall_queue(11, limits), Queue::Stall);
        assert_eq!(stall_queue(99, limits), Queue::Stall);
        assert_eq!(stall_queue(100, limits), Queue::StallLongest);
        let equal = StallTimeout { min: 10, max: 10 };
        assert_eq!(stall_queue(10, equal), Queue::StallLongest);
    }
}
