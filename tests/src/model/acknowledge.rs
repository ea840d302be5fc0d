//! Section "Connections": acknowledged events and closed connections.

use rejoin_core::{
    Action, CloseReason, ConnectionId, CutReason, Report, SessionCloseReason, StreamId,
};

use super::{
    Model,
    connection::{Connection, Origin, Role},
    stream::Phase,
};

impl Model {
    pub(super) fn on_acknowledged(&mut self, connection: ConnectionId, through: u64) {
        if self.connections.get(connection).is_some() {
            self.acknowledge(connection, through);
            let it = &self.connections[connection];
            if let Some(stream) = it.stream.filter(|_| it.role == Role::Attached) {
                self.enforce_stream_limits(stream);
            }
            self.catch_up(connection);
        }
    }

    pub(super) fn on_connection_closed(&mut self, connection: ConnectionId, through: Option<u64>) {
        if self.connections.get(connection).is_some() {
            if let Some(through) = through
                && self.connections[connection].acknowledges_new(through)
            {
                self.acknowledge(connection, through);
            }
            self.remove_connection(connection);
        }
    }

    /// Cuts the connection of a reader that acknowledged nothing for too long.
    pub(super) fn cut_stalled(&mut self, connection: ConnectionId) {
        self.reset_idle_timer();
        self.emit(Action::Cut { connection, reason: CutReason::Stalled });
        self.remove_connection(connection);
    }

    fn acknowledge(&mut self, connection: ConnectionId, through: u64) {
        let stamp = self.stamp();
        let it = &self.connections[connection];
        let attached_stream = it.stream.filter(|_| it.role == Role::Attached);
        let is_behind = attached_stream.is_some_and(|id| {
            let unsent = self.streams[id].logged_from(it.next).next();
            let kept = self.kept_for_retry(id);
            unsent.is_some_and(|it| self.is_committed(it.number) && it.index < kept)
        });
        let it = &mut self.connections[connection];
        if !it.in_flight.is_empty() {
            it.note_pause(self.now, is_behind, &self.config);
        }
        let acknowledged = it.acknowledge(through, stamp);
        it.note_if_drained(stamp);
        if let Some(acknowledged) = acknowledged
            && let Some(stream) = it.stream.filter(|stream| self.streams.get(*stream).is_some())
        {
            self.raise_acknowledged(stream, acknowledged);
        }
    }

    /// Removes a closed or cut connection.
    fn remove_connection(&mut self, connection: ConnectionId) {
        self.note_silence(connection);
        let it = self.connections.remove(connection);
        if it.origin == Origin::Initialize {
            if it.acknowledged.is_none() && !self.was_used {
                self.close(SessionCloseReason::InitializeUnacknowledged);
            }
            return;
        }
        self.report_if_lost(&it);
        let Some(stream) = it.stream.filter(|_| it.role == Role::Attached) else {
            return;
        };
        match self.streams[stream].phase {
            Phase::Open => {
                self.streams[stream].orphaned = Some(self.stamp_when_expected(stream));
                self.start_delivery_timers(stream);
            }
            Phase::Complete => self.retain(stream),
            Phase::Standalone => match self.shadows().last() {
                Some(newest) => self.promote(*newest),
                None => self.start_delivery_timers(stream),
            },
        }
    }

    fn report_if_lost(&mut self, connection: &Connection) {
        let was_cancelled = matches!(
            connection.close_reason,
            Some(CloseReason::Cancelled | CloseReason::Abandoned)
        );
        if let Origin::Json(stream) = connection.origin
            && !connection.is_sse
            && connection.acknowledged.is_none()
            && !was_cancelled
        {
            self.emit(Action::Report(Report::ResponseLost { stream }));
        }
    }

    /// Promotes a shadow: attaches it to the standalone stream.
    fn promote(&mut self, shadow: ConnectionId) {
        let stream = StreamId::Standalone;
        let after = self.streams[stream].acknowledged;
        self.attach(shadow, stream, after, self.connections[shadow].acknowledged.is_none());
    }
}
