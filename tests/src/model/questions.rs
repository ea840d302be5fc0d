//! The requests of the backend to the client that wait.

use rejoin_core::{Action, RequestId, StreamId, UnansweredReason};

use super::{Model, state::Begun};

/// A request of the backend that waits.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) id: RequestId,
    /// The stream that it was recorded on, and where.
    pub(super) stream: StreamId,
    pub(super) index: u64,
    /// While it has `delivery_timeout`.
    pub(super) unheard: Option<Begun>,
    /// While it has `server_request_timeout`: since it was taken.
    pub(super) heard: Option<Begun>,
}

impl Model {
    pub(super) fn question(&self, id: &RequestId) -> Option<&Question> {
        self.questions.iter().find(|question| question.id == *id)
    }

    /// A request was recorded: it waits from now on.
    pub(super) fn question_waits(&mut self, id: RequestId, stream: StreamId, index: u64) {
        let is_heard = self.carrier(stream).is_some();
        let unheard = Some(self.begin_when_expected(stream)).filter(|_| !is_heard);
        self.questions.push(Question { id, stream, index, unheard, heard: None });
    }

    /// A request waits no longer.
    pub(super) fn remove_question(&mut self, id: &RequestId) {
        self.questions.retain(|question| question.id != *id);
    }

    pub(super) fn is_taken(&self, question: &Question) -> bool {
        match self.streams.get(question.stream) {
            Some(stream) => question.index <= stream.taken,
            // Those that were not taken got a `Fail` when it was buried.
            None => true,
        }
    }

    /// The waiting requests on `stream` that were not taken, by index.
    pub(super) fn untaken_questions(&self, stream: StreamId) -> Vec<Question> {
        let mut questions = self.questions.clone();
        questions.retain(|question| question.stream == stream && !self.is_taken(question));
        questions.sort_by_key(|question| question.index);
        questions
    }

    pub(super) fn fail(&mut self, id: RequestId, reason: UnansweredReason) {
        self.remove_question(&id);
        self.act(Action::FailServerRequest { id, reason });
    }

    /// The requests that nobody took will not be taken any more.
    pub(super) fn fail_untaken(&mut self, stream: StreamId, reason: UnansweredReason) {
        for question in self.untaken_questions(stream) {
            self.fail(question.id, reason);
        }
    }

    /// A connection begins to carry `stream`.
    pub(super) fn questions_are_heard(&mut self, stream: StreamId) {
        for question in self.untaken_questions(stream) {
            if !self.streams[stream].has_logged(question.index) {
                self.fail(question.id, UnansweredReason::Evicted);
            }
        }
        for question in &mut self.questions {
            if question.stream == stream {
                question.unheard = None;
            }
        }
    }

    /// A stream is without a connection now.
    pub(super) fn questions_are_unheard(&mut self, stream: StreamId) {
        for question in self.untaken_questions(stream) {
            if self.streams[stream].has_logged(question.index) {
                let begun = self.begin_when_expected(stream);
                let questions = self.questions.iter_mut();
                for it in questions.filter(|it| it.id == question.id) {
                    it.unheard.get_or_insert(begun);
                }
            } else {
                self.fail(question.id, UnansweredReason::Evicted);
            }
        }
    }

    /// No connection came in time.
    pub(super) fn question_has_no_listener(&mut self, id: RequestId) {
        if let Some(Question { stream, index, .. }) = self.question(&id).cloned() {
            self.fail(id, UnansweredReason::Undelivered);
            self.streams[stream].let_go(index);
            self.note_whether_filled(stream);
        }
    }
}
