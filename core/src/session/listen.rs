//! Requests of the backend that wait for a connection to carry them.

use core::{iter, mem};

use super::{
    Session,
    requests::{Question, QuestionKey},
    stream::{STANDALONE, StreamKey},
};
use crate::{Action, Actions, Instant, UnansweredReason, queue::Queue};

impl<M> Session<M> {
    /// Treats that a stream lost its connection: what was not taken has to wait.
    pub(super) fn lose_listener(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let mut index = self.streams[stream].taken;
        while let Some((next, question)) = self.next_question(stream, index) {
            index = next;
            if self.streams[stream].log.contains(index) {
                self.await_listener(stream, question);
            } else {
                self.fail(question, UnansweredReason::Evicted, out);
            }
        }
    }

    /// Treats that a stream has a connection: what is in its log will get there.
    pub(super) fn find_listener(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let mut index = self.streams[stream].taken;
        while let Some((next, question)) = self.next_question(stream, index) {
            index = next;
            if self.streams[stream].log.contains(index) {
                self.stop_listening(question);
            } else {
                self.fail(question, UnansweredReason::Evicted, out);
            }
        }
    }

    /// Treats that what a stream has through an index was taken.
    pub(super) fn was_heard(&mut self, stream: StreamKey, through: u64) {
        let mut index = self.streams[stream].taken;
        while let Some((next, question)) =
            self.next_question(stream, index).filter(|(next, _)| *next <= through)
        {
            index = next;
            self.stop_listening(question);
            self.await_answer(question);
        }
    }

    /// Lets all that was not taken of a stream fail.
    pub(super) fn fail_untaken(
        &mut self,
        stream: StreamKey,
        reason: UnansweredReason,
        out: &mut Actions<M>,
    ) {
        let taken = self.streams[stream].taken;
        while let Some((_, question)) = self.next_question(stream, taken) {
            self.fail(question, reason, out);
        }
    }

    /// Returns when the client of a stream without a connection is to be back: now, unless
    /// it was told to come back later.
    pub(super) fn expected_at(&self, stream: StreamKey) -> Instant {
        self.now.max(self.streams[stream].retry_at)
    }

    /// Notes that the client of a stream is not waited for any more because it was told to
    /// come back later.
    pub(super) fn forget_retry(&mut self, stream: StreamKey) {
        let retry_at = mem::replace(&mut self.streams[stream].retry_at, Instant::EPOCH);
        if retry_at > self.now && retry_at == self.retry_at {
            let streams = iter::once(STANDALONE).chain(self.streams.request_streams());
            let last = streams.map(|key| self.streams[key].retry_at).max();
            self.retry_at = last.unwrap_or(Instant::EPOCH);
        }
    }

    /// Lets a request of the backend wait for a connection to `stream`.
    pub(super) fn await_listener(&mut self, stream: StreamKey, key: QuestionKey) {
        let due = self.expected_at(stream).due(self.config.timeouts().delivery);
        let queues = &mut self.queues;
        if let Some(question) = self.questions.get_mut(key) {
            question.timer.get_or_insert_with(|| queues.enter(Queue::Listen, key.0, due));
        }
    }

    /// Lets a request of the backend that was delivered wait for its answer.
    fn await_answer(&mut self, key: QuestionKey) {
        let due = self.now.due(self.config.timeouts().server_request);
        if let Some(question) = self.questions.get_mut(key).filter(|it| !it.was_delivered) {
            question.was_delivered = true;
            question.timer = Some(self.queues.enter(Queue::Answer, key.0, due));
        }
    }

    /// Answers a request of the backend with an error.
    pub(super) fn fail(
        &mut self,
        question: QuestionKey,
        reason: UnansweredReason,
        out: &mut Actions<M>,
    ) {
        if let Some(Question { id, .. }) = self.remove_question(question) {
            out.push(Action::FailServerRequest { id, reason });
        }
    }

    /// Treats that nobody came to hear a request of the backend.
    pub(super) fn give_up_listening(&mut self, question: QuestionKey, out: &mut Actions<M>) {
        let Some(question) = self.remove_question(question) else {
            return;
        };
        if let Some(stream) = self.streams.find(question.stream) {
            self.bytes -= self.streams[stream].log.blank(question.index);
            self.note_empty(stream);
        }
        out.push(Action::FailServerRequest {
            id: question.id,
            reason: UnansweredReason::Undelivered,
        });
    }

    fn stop_listening(&mut self, question: QuestionKey) {
        let question = self.questions.get_mut(question).filter(|it| !it.was_delivered);
        if let Some(timer) = question.and_then(|question| question.timer.take()) {
            self.queues.leave(timer);
        }
    }

    #[inline]
    fn next_question(&self, stream: StreamKey, after: u64) -> Option<(u64, QuestionKey)> {
        self.questions.next(self.streams[stream].id, after)
    }
}
