//! Section "Sending": attaching connections, and what is sent on them.

use rejoin_core::{Action, ConnectionId, EndReason, Event, EventId, Instant, StreamId};

use super::{
    Model,
    connection::{Connection, Role},
    stream::{Phase, RecordedEvent},
};

impl Model {
    /// Returns the connection that is attached to `stream`.
    pub(super) fn attached(&self, stream: StreamId) -> Option<&Connection> {
        self.connections.iter().find(|connection| {
            connection.role == Role::Attached && connection.stream == Some(stream)
        })
    }

    /// Attaches a connection to a stream.
    pub(super) fn attach(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        after: u64,
        is_primed: bool,
    ) {
        let it = &mut self.connections[connection];
        let is_promoted = matches!(it.role, Role::Shadow { .. });
        it.role = Role::Attached;
        it.stream = Some(stream);
        it.start_after(after);
        self.streams[stream].orphaned = None;
        self.streams[stream].retry_at = Instant::EPOCH;
        self.stop_delivery_timers(stream);
        self.catch_up(connection, is_promoted);
        if is_primed && self.is_priming_on() && self.connections[connection].in_flight.is_empty() {
            let it = &mut self.streams[stream];
            let is_first = it.last == 0 && !it.is_primed;
            it.is_primed |= is_first;
            it.last += u64::from(!is_first);
            let index = it.last;
            let id = EventId::new(stream, index);
            self.send(connection, (index, 0), Some(id), Event::Priming { retry: None });
        }
    }

    /// Discards what is in flight on a connection, so that it can be sent on another one.
    pub(super) fn discard(&mut self, connection: ConnectionId) {
        self.note_silence(connection);
        let it = &mut self.connections[connection];
        if !it.in_flight.is_empty() {
            it.in_flight.clear();
            it.next = it.rewind_to;
            it.first_unacknowledged = it.next;
            it.gap_reported_to = 0;
            it.silent_since = None;
            it.is_stalled = false;
            let stamp = self.stamp();
            self.connections[connection].note_if_drained(stamp);
            self.emit(Action::Discard { connection });
        }
    }

    /// Sends an attached connection what its window admits.
    pub(super) fn catch_up(&mut self, connection: ConnectionId, is_promoted: bool) {
        let it = &self.connections[connection];
        let Some(stream) = it.stream.filter(|_| it.role == Role::Attached) else {
            return;
        };
        let logged: Vec<RecordedEvent> =
            self.streams[stream].logged_from(it.next).cloned().collect();
        let next = self.streams[stream].last + 1;
        let first = logged.first().map_or((next, 0), RecordedEvent::index_and_cost);
        if it.admits(first, self.bytes_in_flight(), &self.config) {
            self.report_gap(connection, stream);
            self.send_logged(connection, stream, &logged, is_promoted);
        }
        self.close_if_complete(stream);
    }

    fn report_gap(&mut self, connection: ConnectionId, stream: StreamId) {
        let missed = self.streams[stream].missed;
        let it = &mut self.connections[connection];
        if let Some(first) = it.gap_start(missed) {
            it.gap_reported_to = missed;
            self.emit(Action::Gap { connection, stream, missed: first..=missed });
        }
    }

    /// Sends as many of the `logged` events as the window admits.
    fn send_logged(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        logged: &[RecordedEvent],
        is_promoted: bool,
    ) {
        // A copy of the connection shows what is admitted.
        let mut it = self.connections[connection].clone();
        let mut admitted = Vec::new();
        let others = self.bytes_in_flight() - it.bytes_in_flight();
        for event in logged {
            if !it.admits(
                event.index_and_cost(),
                others.saturating_add(it.bytes_in_flight()),
                &self.config,
            ) {
                break;
            }
            it.note_sent(event.index_and_cost(), self.stamp());
            admitted.push(event.clone());
        }
        let are_all_admitted = admitted.len() == logged.len();
        let is_last = are_all_admitted && self.streams[stream].phase == Phase::Complete;
        if is_last || is_promoted {
            for event in admitted {
                let id = EventId::new(stream, event.index);
                self.send(connection, event.index_and_cost(), Some(id), event.to_event());
            }
        } else if let (Some(first), Some(last)) = (admitted.first(), admitted.last()) {
            self.connections[connection] = it;
            if admitted.iter().any(|event| event.index_and_cost().1 > 0) {
                self.check_window_bytes();
            }
            let range = first.index..last.index + 1;
            self.emit(Action::Replay { connection, stream, range });
        }
    }

    /// Returns whether a connection is attached to `stream` and is at its head.
    pub(super) fn is_at_head(&self, stream: StreamId) -> bool {
        let it = &self.streams[stream];
        self.attached(stream).is_some_and(|attached| {
            it.logged_from(attached.next).next().is_none()
                && attached.gap_start(it.missed).is_none()
        })
    }

    /// Returns whether a connection is attached to `stream`, is at its head, and its window
    /// admits an event.
    pub(super) fn may_send(&self, stream: StreamId, sent: (u64, usize)) -> bool {
        let attached = self.attached(stream).filter(|_| self.is_at_head(stream));
        attached.is_some_and(|attached| attached.admits(sent, self.bytes_in_flight(), &self.config))
    }

    /// Sends one event.
    pub(super) fn send(
        &mut self,
        connection: ConnectionId,
        sent: (u64, usize),
        id: Option<EventId>,
        event: Event<u64>,
    ) {
        let stamp = self.stamp();
        let it = &mut self.connections[connection];
        it.note_sent(sent, stamp);
        it.is_sse |= id.is_some();
        self.emit(Action::Send { connection, index: sent.0, id, event });
        if sent.1 > 0 {
            self.check_window_bytes();
        }
    }

    /// Closes a connection: it drains, or is cut.
    pub(super) fn close_connection(&mut self, connection: ConnectionId, reason: EndReason) {
        self.note_silence(connection);
        self.emit(Action::Close { connection, reason });
        if reason.drains() {
            let stamp = self.stamp();
            let it = &mut self.connections[connection];
            it.role = Role::Draining;
            it.close_reason = Some(reason);
            it.note_if_drained(stamp);
        } else {
            self.connections.remove(connection);
        }
    }
}
