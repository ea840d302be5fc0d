//! Section "GET".

use rejoin_core::{
    Action, ApiMisuse, ClientFault, CloseReason, ConcurrentGet, ConnectionId, CutReason, EventId,
    Rejection, StreamId,
};

use super::{
    Model,
    connection::{Connection, Origin, Role},
};

impl Model {
    pub(super) fn check_get(
        &self,
        connection: ConnectionId,
        last_event_id: Option<EventId>,
    ) -> Result<(), Rejection> {
        if self.connections.get(connection).is_some() {
            return Err(ApiMisuse::ConnectionInUse(connection).into());
        }
        match last_event_id {
            Some(id) => self.check_resume(id)?,
            None => self.check_standalone()?,
        }
        let replaces = last_event_id.is_some_and(|id| {
            id.stream != StreamId::Standalone
                && self.connections.iter().any(|other| {
                    other.stream == Some(id.stream)
                        && matches!(other.role, Role::Attached | Role::Draining)
                })
        });
        if replaces { Ok(()) } else { self.check_connections() }
    }

    fn check_standalone(&self) -> Result<(), ClientFault> {
        let is_conflict =
            self.config.concurrent_get == ConcurrentGet::Reject || self.config.shadows_max == 0;
        if is_conflict && self.attached(StreamId::Standalone).is_some() {
            return Err(ClientFault::StandaloneConflict);
        }
        Ok(())
    }

    fn check_resume(&self, EventId { stream, index }: EventId) -> Result<(), Rejection> {
        let it = self.streams.get(stream);
        let tombstone = self.tombstones.iter().find(|tombstone| tombstone.stream == stream);
        let is_assigned = match stream {
            StreamId::Standalone => true,
            StreamId::Request(number) => number < self.next_number,
        };
        if !is_assigned {
            return Err(ClientFault::UnknownStream(stream).into());
        }
        let last = match (it, tombstone) {
            (Some(it), _) => self.last_known(it),
            (None, Some(tombstone)) if tombstone.is_cancelled => {
                return Err(ClientFault::CancelledStream(stream).into());
            }
            (None, Some(tombstone)) => tombstone.last,
            (None, None) => return Err(ClientFault::ExpiredStream(stream).into()),
        };
        if index > last {
            return Err(ClientFault::FutureEvent { stream, last }.into());
        }
        if it.is_none_or(|it| it.retained.is_some()) {
            self.check_streams()?;
        }
        Ok(())
    }

    pub(super) fn get(&mut self, connection: ConnectionId, last_event_id: Option<EventId>) {
        let standalone = StreamId::Standalone;
        let is_attached = self.attached(standalone).is_some();
        match last_event_id {
            Some(EventId { stream: StreamId::Standalone, index }) => {
                self.attach_standalone(connection, Some(index));
            }
            Some(EventId { stream, index }) => self.resume(connection, stream, index),
            None if is_attached && self.config.concurrent_get == ConcurrentGet::Shadow => {
                let role = self.newest_shadow_role();
                self.connections.push(Connection::new(connection, role, Some(standalone)));
                self.close_excess_shadows();
            }
            None => self.attach_standalone(connection, None),
        }
    }

    /// Attaches a new connection to the standalone stream: after the event that it
    /// resumes from, or else after the acknowledged index, and primed.
    fn attach_standalone(&mut self, connection: ConnectionId, resumes_after: Option<u64>) {
        let stream = StreamId::Standalone;
        let standalone = self.connections.iter().filter(|it| it.stream == Some(stream));
        let mut former: Vec<_> = standalone
            .filter(|it| matches!(it.role, Role::Draining | Role::Attached))
            .map(|it| (it.role == Role::Attached, it.id))
            .collect();
        former.sort();
        for (_, connection) in former {
            self.discard(connection);
        }
        if let Some(attached) = self.attached(stream).map(|attached| attached.id) {
            self.connections[attached].role = self.newest_shadow_role();
        }
        self.close_excess_shadows();
        if let Some(index) = resumes_after {
            self.raise_acknowledged(stream, index);
        }
        let is_resume = resumes_after.is_some();
        let after = resumes_after.unwrap_or(self.streams[stream].acknowledged);
        self.connections.push(Connection::new(connection, Role::Attached, Some(stream)));
        self.connections[connection].origin =
            if is_resume { Origin::Resume } else { Origin::Other };
        self.attach(connection, stream, after, !is_resume);
    }

    fn resume(&mut self, connection: ConnectionId, stream: StreamId, index: u64) {
        let replaced = self.connections.iter().find(|it| it.stream == Some(stream));
        if let Some(replaced) = replaced.map(|it| it.id) {
            self.note_silence(replaced);
            self.emit(Action::Cut { connection: replaced, reason: CutReason::Replaced });
            self.connections.remove(replaced);
        }
        if self.streams.get(stream).is_none() {
            self.revive(stream);
        }
        self.streams[stream].retained = None;
        self.raise_acknowledged(stream, index);
        self.connections.push(Connection::new(connection, Role::Attached, Some(stream)));
        self.connections[connection].origin = Origin::Resume;
        self.streams[stream].can_come_back = true;
        self.attach(connection, stream, index, false);
    }

    fn newest_shadow_role(&mut self) -> Role {
        let since = self.stamp().order;
        Role::Shadow { since }
    }

    /// Closes the oldest shadows over `shadows_max`.
    fn close_excess_shadows(&mut self) {
        let shadows = self.shadows();
        let excess = shadows.len().saturating_sub(self.config.shadows_max);
        for shadow in shadows.into_iter().take(excess) {
            self.close_connection(shadow, CloseReason::TooManyShadows);
        }
    }

    /// Returns the shadows, the oldest first.
    pub(super) fn shadows(&self) -> Vec<ConnectionId> {
        let mut shadows: Vec<_> = self
            .connections
            .iter()
            .filter_map(|connection| match connection.role {
                Role::Shadow { since } => Some((since, connection.id)),
                Role::Initialize | Role::Attached | Role::Draining => None,
            })
            .collect();
        shadows.sort();
        shadows.into_iter().map(|(_, id)| id).collect()
    }
}
