//! Deadlines: what happens because time has passed.

use smallvec::SmallVec;

use super::{
    Session,
    connection::ConnectionKey,
    requests::{QuestionKey, failure},
    stream::{StreamKey, answered},
};
use crate::{
    Action, Actions, CloseReason, EndReason, FailureReason, RequestId,
    queue::{Key, Queue},
};

impl<M: Clone> Session<M> {
    /// Carries out what is due.
    pub(super) fn tick(&mut self, out: &mut Actions<M>) {
        while let Some((queue, key)) = self.queues.first_due(self.now) {
            self.strike(queue, key, out);
            self.settle(out);
        }
        while self.streams.tombstone_deadline().unless_never().is_some_and(|due| due <= self.now) {
            self.streams.remove_first_tombstone();
        }
        if self.idle_deadline().unless_never().is_some_and(|due| due <= self.now) {
            self.close(CloseReason::Idle, out);
        }
    }

    /// Carries out one deadline. Each arm takes what was due out of the queue.
    fn strike(&mut self, queue: Queue, key: Key, out: &mut Actions<M>) {
        match queue {
            Queue::Initialize => self.close(CloseReason::InitializeTimeout, out),
            Queue::Reservation => self.cancel(StreamKey(key), EndReason::Abandoned, out),
            Queue::Hold => self.lose_patience(),
            Queue::Stall => self.stall(ConnectionKey(key)),
            Queue::StallLimit => {
                self.stay_awake();
                let connection = ConnectionKey(key);
                let id = self.connections[connection].id;
                let reason = EndReason::Stalled;
                out.push(Action::Close { connection: id, reason });
                self.lose(connection, out);
            }
            Queue::Listen => self.give_up_listening(QuestionKey(key), out),
            Queue::Orphan => self.orphan(StreamKey(key), out),
            Queue::Cancelled => self.release_id(key),
            Queue::Untaken | Queue::Taken => self.bury(StreamKey(key), false, out),
            // Nothing there has a deadline.
            Queue::Spent | Queue::Eventful => {}
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
            let due = connection.since.due(self.config.timeouts().stall_limit);
            connection.stall = Some(self.queues.enter(Queue::StallLimit, key.0, due));
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
