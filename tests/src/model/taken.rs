//! Section "Connections": what is taken, and what is gone.

use rejoin_core::{Action, CloseReason, ConnectionId, EndReason, Report, StreamId};

use super::{
    Model,
    connection::{Connection, Origin, Role},
    stream::Phase,
};

impl Model {
    pub(super) fn taken_on(&mut self, connection: ConnectionId, through: u64) {
        if self.connections.get(connection).is_some() {
            self.take(connection, through);
            let it = &self.connections[connection];
            if let Some(stream) = it.stream.filter(|_| it.role == Role::Carries) {
                self.keep_stream_limits(stream);
            }
            self.send_what_it_may_have(connection, false);
        }
    }

    pub(super) fn closed_by_peer(&mut self, connection: ConnectionId, through: Option<u64>) {
        if self.connections.get(connection).is_some() {
            if let Some(through) = through
                && self.connections[connection].will_take(through)
            {
                self.take(connection, through);
            }
            self.forget(connection);
            self.is_crowded = false;
        }
    }

    /// A reader took nothing for too long.
    pub(super) fn cut_as_stalled(&mut self, connection: ConnectionId) {
        self.stay_awake();
        self.act(Action::Close { connection, reason: EndReason::Stalled });
        self.forget(connection);
    }

    fn take(&mut self, connection: ConnectionId, through: u64) {
        let begun = self.begin();
        let it = &self.connections[connection];
        let carried = it.stream.filter(|_| it.role == Role::Carries);
        let is_behind =
            carried.is_some_and(|id| self.streams[id].logged_from(it.next).next().is_some());
        let it = &mut self.connections[connection];
        if !it.sent.is_empty() {
            it.pause(self.now, is_behind, &self.config);
        }
        let taken = it.take(through, begun);
        it.note_whether_drained(begun);
        if let Some(taken) = taken
            && let Some(stream) = it.stream.filter(|stream| self.streams.get(*stream).is_some())
        {
            self.raise_taken(stream, taken);
        }
    }

    /// A connection is gone.
    fn forget(&mut self, connection: ConnectionId) {
        self.note_silence(connection);
        let it = self.connections.remove(connection);
        if it.origin == Origin::Initialize {
            if it.taken.is_none() && !self.was_used {
                self.close(CloseReason::InitializeUnacknowledged);
            }
            return;
        }
        self.report_if_lost(&it);
        let Some(stream) = it.stream.filter(|_| it.role == Role::Carries) else {
            return;
        };
        match self.streams[stream].phase {
            Phase::Reserved => self.cancel_stream(stream, EndReason::Cancelled),
            Phase::Open => {
                self.streams[stream].orphan = Some(self.begin_when_expected(stream));
                self.questions_are_unheard(stream);
            }
            Phase::Complete => self.retain(stream),
            Phase::Standing => match self.shadows().last() {
                Some(newest) => self.promote(*newest),
                None => self.questions_are_unheard(stream),
            },
        }
    }

    fn report_if_lost(&mut self, connection: &Connection) {
        let was_given_up =
            matches!(connection.ended, Some(EndReason::Cancelled | EndReason::Abandoned));
        if let Origin::Json(stream) = connection.origin
            && !connection.is_sse
            && connection.taken.is_none()
            && !was_given_up
        {
            self.act(Action::Report(Report::ResponseLost { stream }));
        }
    }

    /// A shadow carries the standalone stream from now on.
    fn promote(&mut self, shadow: ConnectionId) {
        let stream = StreamId::Standalone;
        let after = self.streams[stream].taken;
        self.carry(shadow, stream, after, self.connections[shadow].taken.is_none());
    }
}
