//! Deadlines: what happens because time has passed.

use smallvec::SmallVec;

use super::{
    Session,
    connection::{ConnectionKey, Subject},
    requests::failure,
    stream::{StreamKey, answered},
};
use crate::{Action, Actions, CloseReason, EndReason, FailureReason, RequestId, queue::Entrant};

impl<M: Clone> Session<M> {
    /// Carries out what is due.
    pub(super) fn tick(&mut self, out: &mut Actions<M>) {
        while let Some(entrant) = self.queues.first_due(self.now) {
            let entrant = entrant.clone();
            self.strike(entrant, out);
            self.settle(out);
        }
        if self.idle_deadline().is_some_and(|due| due <= self.now) {
            self.close(CloseReason::Idle, out);
        }
    }

    /// Carries out one deadline. Each arm takes its entrant out of the queue.
    fn strike(&mut self, entrant: Entrant, out: &mut Actions<M>) {
        match entrant {
            Entrant::Initialize => self.close(CloseReason::InitializeTimeout, out),
            Entrant::Reservation(stream) => self.cancel(stream, EndReason::Abandoned, out),
            Entrant::Stall(connection) => self.stall(connection),
            Entrant::StallLimit(connection) => {
                self.stay_awake();
                let id = self.connections[connection].id;
                let reason = EndReason::Stalled;
                out.push(Action::Close { connection: id, reason });
                self.lose(connection, out);
            }
            Entrant::Listen(id) => self.give_up_listening(id, out),
            Entrant::Orphan(stream) => self.orphan(stream, out),
            Entrant::Cancelled(id) => {
                self.release_id(&id);
            }
            Entrant::Untaken(stream) | Entrant::Taken(stream) => self.bury(stream, false, out),
            Entrant::Tombstone(number) => {
                self.remove_tombstone(number);
            }
            // It has no deadline.
            Entrant::Eventful(_) => {}
        }
    }

    /// Treats that a reader took nothing for a while.
    fn stall(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        connection.is_stalled = true;
        if let Some(stall) = connection.stall.take() {
            self.queues.leave(stall);
        }
        if self.config.stall_limit.is_some() {
            let due = connection.since.due(self.config.stall_limit);
            connection.stall = Some(self.queues.enter(Entrant::StallLimit(key), due));
        }
        if let Subject::Stream(stream) = connection.subject {
            self.review(stream);
        }
    }

    /// Ends the requests of a stream that nobody came back for.
    fn orphan(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.stay_awake();
        let pending: SmallVec<[RequestId; 1]> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            out.push(Action::Cancel { id: id.clone() });
            self.resolve(&id, answered);
            self.reserve_id(id.clone());
            self.record(stream, failure(id, FailureReason::Orphaned), out);
        }
        self.complete(stream, out);
    }
}
