//! Section "Sending": attaching connections, and what is sent on them.

use rejoin_core::{Action, ConnectionId, EndReason, Event, EventId, Instant, StreamId};

use super::{
    Model,
    connection::{Connection, Role},
    stream::RecordedEvent,
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
        it.role = Role::Attached;
        it.stream = Some(stream);
        it.start_after(after);
        self.streams[stream].orphaned = None;
        self.streams[stream].retry_at = Instant::EPOCH;
        self.stop_delivery_timers(stream);
        self.catch_up(connection);
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
    pub(super) fn catch_up(&mut self, connection: ConnectionId) {
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
            self.send_logged(connection, stream, &logged);
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
    ) {
        for event in logged {
            let sent = event.index_and_cost();
            let it = &self.connections[connection];
            if !it.admits(sent, self.bytes_in_flight(), &self.config) {
                break;
            }
            let id = EventId::new(stream, event.index);
            self.send(connection, sent, Some(id), event.to_event());
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
