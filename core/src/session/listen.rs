//! Requests of the backend that wait for a connection to carry them.

use super::{Session, stream::StreamKey};
use crate::{Action, Actions, FailReason, RequestId, queue::Entrant};

impl<M> Session<M> {
    /// Treats that a stream lost its connection: what was not taken has to wait.
    pub(super) fn lose_listener(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let mut index = self.streams[stream].taken;
        while let Some(next) = self.next_question(stream, index) {
            index = next;
            if self.streams[stream].log.contains(index) {
                self.await_listener(stream, index);
            } else {
                self.fail_at(stream, index, FailReason::Evicted, out);
            }
        }
    }

    /// Treats that a stream has a connection: what is in its log will get there.
    pub(super) fn find_listener(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let mut index = self.streams[stream].taken;
        while let Some(next) = self.next_question(stream, index) {
            index = next;
            if self.streams[stream].log.contains(index) {
                self.stop_listening(stream, index);
            } else {
                self.fail_at(stream, index, FailReason::Evicted, out);
            }
        }
    }

    /// Treats that what a stream has through an index was taken.
    pub(super) fn was_heard(&mut self, stream: StreamKey, through: u64) {
        let mut index = self.streams[stream].taken;
        while let Some(next) = self.next_question(stream, index).filter(|next| *next <= through) {
            index = next;
            self.stop_listening(stream, index);
        }
    }

    /// Lets all that was not taken of a stream fail.
    pub(super) fn fail_untaken(
        &mut self,
        stream: StreamKey,
        reason: FailReason,
        out: &mut Actions<M>,
    ) {
        let taken = self.streams[stream].taken;
        while let Some(index) = self.next_question(stream, taken) {
            self.fail_at(stream, index, reason, out);
        }
    }

    /// Lets the request at `index` wait for a connection.
    pub(super) fn await_listener(&mut self, stream: StreamKey, index: u64) {
        let due = self.now.due(self.config.listen_timeout);
        let Some(id) = self.questions.at(self.streams[stream].id, index).cloned() else {
            return;
        };
        if let Some(question) = self.questions.get_mut(&id) {
            let queues = &mut self.queues;
            question.listen.get_or_insert_with(|| queues.enter(Entrant::Listen(id), due));
        }
    }

    /// Answers a request of the backend with an error.
    pub(super) fn fail(&mut self, id: RequestId, reason: FailReason, out: &mut Actions<M>) {
        self.remove_question(&id);
        out.push(Action::Fail { id, reason });
    }

    /// Treats that nobody came to hear a request of the backend.
    pub(super) fn give_up_listening(&mut self, id: RequestId, out: &mut Actions<M>) {
        if let Some(question) = self.remove_question(&id)
            && let Some(stream) = self.streams.find(question.stream)
        {
            self.bytes -= self.streams[stream].log.blank(question.index);
            self.note_empty(stream);
            self.review(stream);
        }
        out.push(Action::Fail { id, reason: FailReason::NoListener });
    }

    fn fail_at(&mut self, stream: StreamKey, index: u64, reason: FailReason, out: &mut Actions<M>) {
        if let Some(id) = self.questions.at(self.streams[stream].id, index).cloned() {
            self.fail(id, reason, out);
        }
    }

    fn stop_listening(&mut self, stream: StreamKey, index: u64) {
        let Some(id) = self.questions.at(self.streams[stream].id, index).cloned() else {
            return;
        };
        if let Some(listen) =
            self.questions.get_mut(&id).and_then(|question| question.listen.take())
        {
            self.queues.leave(listen);
        }
    }

    /// Returns the index of the next waiting request on a stream.
    fn next_question(&self, stream: StreamKey, after: u64) -> Option<u64> {
        self.questions.next(self.streams[stream].id, after)
    }
}
