//! Section "Sending": how a connection gets what its stream has.

use rejoin_core::{Action, ConnectionId, EndReason, Event, EventId, Instant, StreamId};

use super::{
    Model,
    connection::{Connection, Role},
    stream::{Phase, Recorded},
};

impl Model {
    /// The connection that carries `stream`.
    pub(super) fn carrier(&self, stream: StreamId) -> Option<&Connection> {
        self.connections.iter().find(|connection| {
            connection.role == Role::Carries && connection.stream == Some(stream)
        })
    }

    /// A connection begins to carry a stream.
    pub(super) fn carry(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        after: u64,
        is_primed: bool,
    ) {
        let it = &mut self.connections[connection];
        let takes_over = matches!(it.role, Role::Shadow { .. });
        it.role = Role::Carries;
        it.stream = Some(stream);
        it.go_on_after(after);
        self.streams[stream].orphan = None;
        self.streams[stream].retry_at = Instant::EPOCH;
        self.questions_are_heard(stream);
        self.send_what_it_may_have(connection, takes_over);
        if is_primed && self.primes() && self.connections[connection].sent.is_empty() {
            let it = &mut self.streams[stream];
            let is_first = it.last == 0 && !it.is_primed;
            it.is_primed |= is_first;
            it.last += u64::from(!is_first);
            let index = it.last;
            let id = EventId::new(stream, index);
            self.send(connection, (index, 0), Some(id), Event::Priming { retry: None });
        }
    }

    /// What a connection holds is sent on another one.
    pub(super) fn discard(&mut self, connection: ConnectionId) {
        self.note_silence(connection);
        let it = &mut self.connections[connection];
        if !it.sent.is_empty() {
            it.sent.clear();
            it.next = it.start;
            it.untaken = it.next;
            it.told = 0;
            it.waits = None;
            it.is_stalled = false;
            let begun = self.begin();
            self.connections[connection].note_whether_drained(begun);
            self.act(Action::Discard { connection });
        }
    }

    /// A connection that carries a stream is sent what it may have.
    pub(super) fn send_what_it_may_have(&mut self, connection: ConnectionId, takes_over: bool) {
        let it = &self.connections[connection];
        let Some(stream) = it.stream.filter(|_| it.role == Role::Carries) else {
            return;
        };
        let logged: Vec<Recorded> = self.streams[stream].logged_from(it.next).cloned().collect();
        let next = self.streams[stream].last + 1;
        let first = logged.first().map_or((next, 0), Recorded::sent);
        if it.admits(first, self.in_flight(), &self.config) {
            self.tell_gap(connection, stream);
            self.send_logged(connection, stream, &logged, takes_over);
        }
        self.end_if_complete(stream);
    }

    fn tell_gap(&mut self, connection: ConnectionId, stream: StreamId) {
        let missed = self.streams[stream].missed;
        let it = &mut self.connections[connection];
        if let Some(first) = it.gap_begins(missed) {
            it.told = missed;
            self.act(Action::Gap { connection, stream, missed: first..=missed });
        }
    }

    /// Sends as many of the `logged` events as the window admits.
    fn send_logged(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        logged: &[Recorded],
        takes_over: bool,
    ) {
        // A copy goes ahead, to find out what is admitted.
        let mut it = self.connections[connection].clone();
        let mut admitted = Vec::new();
        let others = self.in_flight() - it.in_flight();
        for event in logged {
            if !it.admits(event.sent(), others.saturating_add(it.in_flight()), &self.config) {
                break;
            }
            it.send(event.sent(), self.begin());
            admitted.push(event.clone());
        }
        let is_rest = admitted.len() == logged.len();
        let is_last = is_rest && self.streams[stream].phase == Phase::Complete;
        if is_last || takes_over {
            for event in admitted {
                let id = EventId::new(stream, event.index);
                self.send(connection, event.sent(), Some(id), event.event());
            }
        } else if let (Some(first), Some(last)) = (admitted.first(), admitted.last()) {
            self.connections[connection] = it;
            if admitted.iter().any(|event| event.sent().1 > 0) {
                self.note_whether_crowded();
            }
            let range = first.index..last.index + 1;
            self.act(Action::Replay { connection, stream, range });
        }
    }

    /// Whether a connection carries `stream` and is at the head.
    pub(super) fn is_at_head(&self, stream: StreamId) -> bool {
        let it = &self.streams[stream];
        self.carrier(stream).is_some_and(|carrier| {
            it.logged_from(carrier.next).next().is_none() && carrier.gap_begins(it.missed).is_none()
        })
    }

    /// Whether a connection carries `stream`, is at the head, and its window admits an event.
    pub(super) fn may_send(&self, stream: StreamId, sent: (u64, usize)) -> bool {
        let carrier = self.carrier(stream).filter(|_| self.is_at_head(stream));
        carrier.is_some_and(|carrier| carrier.admits(sent, self.in_flight(), &self.config))
    }

    /// Sends one event.
    pub(super) fn send(
        &mut self,
        connection: ConnectionId,
        sent: (u64, usize),
        id: Option<EventId>,
        event: Event<u64>,
    ) {
        let begun = self.begin();
        let it = &mut self.connections[connection];
        it.send(sent, begun);
        it.is_sse |= id.is_some();
        self.act(Action::Send { connection, index: sent.0, id, event });
        if sent.1 > 0 {
            self.note_whether_crowded();
        }
    }

    /// Ends a connection: it drains, or is cut.
    pub(super) fn end(&mut self, connection: ConnectionId, reason: EndReason) {
        self.note_silence(connection);
        self.act(Action::Close { connection, reason });
        if reason.drains() {
            let begun = self.begin();
            let it = &mut self.connections[connection];
            it.role = Role::Drains;
            it.ended = Some(reason);
            it.note_whether_drained(begun);
        } else {
            self.connections.remove(connection);
        }
    }
}
