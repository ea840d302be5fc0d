//! Deadlines: what happens because time has passed.

use smallvec::SmallVec;

use super::{
    Session,
    connection::ConnectionKey,
    requests::{QuestionKey, failure},
    stream::{Stage, StreamKey, answered},
};
use crate::{
    Action, Actions, CloseReason, EndReason, FailureReason, RequestId, UnansweredReason,
    queue::{Key, Queue, Ticket},
};

impl<M: Clone> Session<M> {
    /// Carries out what is due.
    pub(super) fn tick(&mut self, out: &mut Actions<M>) {
        while let Some((queue, key)) = self.queues.pop_due(self.now) {
            self.void_ticket(queue, key);
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

    /// Notes that what was due is in no queue any more.
    fn void_ticket(&mut self, queue: Queue, key: Key) {
        match queue {
            Queue::Reservation => {
                self.streams[StreamKey(key)].stage = Stage::Reserved { expiry: Ticket::NONE };
            }
            Queue::Hold => self.lose_patience(StreamKey(key)),
            Queue::StallLongest | Queue::Stall | Queue::StallShortest | Queue::StallLimit => {
                self.connections[ConnectionKey(key)].stall = None;
            }
            Queue::Listen | Queue::Answer => {
                if let Some(question) = self.questions.get_mut(QuestionKey(key)) {
                    question.timer = None;
                }
            }
            Queue::Orphan => self.streams[StreamKey(key)].stage = Stage::Open { orphan: None },
            Queue::Untaken | Queue::Taken => {
                self.streams[StreamKey(key)].stage = Stage::Retained { queue: Ticket::NONE };
            }
            Queue::Initialize | Queue::Cancelled | Queue::Spent | Queue::Eventful => {}
        }
    }

    /// Carries out one deadline, which is in no queue any more.
    fn strike(&mut self, queue: Queue, key: Key, out: &mut Actions<M>) {
        match queue {
            Queue::Initialize => self.close(CloseReason::InitializeTimeout, out),
            Queue::Reservation => self.cancel(StreamKey(key), EndReason::Abandoned, out),
            Queue::StallLongest | Queue::Stall | Queue::StallShortest => {
                self.stall(ConnectionKey(key));
            }
            Queue::StallLimit => self.cut(ConnectionKey(key), out),
            Queue::Listen => self.give_up_listening(QuestionKey(key), out),
            Queue::Answer => self.fail(QuestionKey(key), UnansweredReason::TimedOut, out),
            Queue::Orphan => self.orphan(StreamKey(key), out),
            Queue::Cancelled => {
                self.requests.cancelled.remove(key);
            }
            Queue::Untaken | Queue::Taken => self.bury(StreamKey(key), false, out),
            // What is held is released when the deadline is settled. The others have none.
            Queue::Hold | Queue::Spent | Queue::Eventful => {}
        }
    }

    /// Treats that a reader took nothing for a while.
    fn stall(&mut self, key: ConnectionKey) {
        let connection = &mut self.connections[key];
        connection.is_stalled = true;
        if self.config.stall_disconnect_timeout.is_some() {
            let due = connection.since.due(self.config.timeouts().stall_disconnect);
            connection.stall = Some(self.queues.enter(Queue::StallLimit, key.0, due));
        }
    }

    /// Ends the requests of a stream that nobody came back for.
    fn orphan(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.stay_awake();
        let pending: SmallVec<[RequestId; 1]> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            out.push(Action::CancelRequest { id: id.clone() });
            self.resolve(&id, answered);
            self.reserve_id(id.clone());
            self.record(stream, failure(id, FailureReason::Orphaned), out);
        }
        self.complete(stream, out);
    }
}
