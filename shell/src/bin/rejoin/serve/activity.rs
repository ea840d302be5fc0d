//! What a connection is doing, as its socket and its service know it together.

use std::{task::Waker, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How soon after its request a client must end its sending side to have only that side
/// ended, as `nc -N` does, where that end was not there with the request. One that does so
/// later has left: it may have read its answer.
const HALF_CLOSE_TIME: Duration = Duration::from_millis(2);

/// How long a client that has ended its sending side waits for an answer to begin.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may do nothing, or little.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// Between two requests.
    pub(super) idle: Duration,
    /// From the first byte of a request to the end of its headers.
    pub(super) header: Duration,
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    timeouts: Timeouts,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Whether a part of an earlier request was never read.
    has_unread: bool,
    /// Whether the service waits for more of the body.
    awaits_body: bool,
    half_close: HalfClose,
    /// Whether the connection ends as soon as no answer is being served or sent.
    is_draining: bool,
    /// Of the socket, which waits for bytes or for a deadline.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of a request has come.
    Idle,
    /// A part of the headers has come.
    Headers,
    /// The request is being served, and a part of its body is still to come.
    Body,
    /// The request is being served, and the whole of it has come.
    Answer,
    /// Its answer has begun.
    Answering,
    /// The whole answer is known, and a part of it may still wait for the socket.
    /// Whether bytes of the next request have come.
    Flushing { has_next: bool },
}

/// Whether a client may end its sending side, and still wait for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HalfClose {
    /// A client that ends its sending side has left.
    Refused,
    /// A client may do so with its request, or right after it.
    Allowed {
        /// Whether the socket has looked for the end since the whole request came.
        was_looked_for: bool,
    },
    /// The client has done so.
    Closed,
}

/// What is to be done about a client that has done nothing for too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// The connection ends as if the client had ended it.
    Quietly,
    /// The connection breaks off in the middle of a request.
    InRequest,
}

/// Whether the socket is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Continues,
    /// Not before what is being sent has been sent.
    Pauses,
    Ends(Expired),
}

impl Activity {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let state = State {
            phase: Phase::Idle,
            since: Instant::now(),
            has_unread: false,
            awaits_body: false,
            half_close: HalfClose::Refused,
            is_draining: false,
            waker: None,
        };
        Self { timeouts, state: Mutex::new(state) }
    }

    /// Bytes have come.
    pub(super) fn bytes_came(&self) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Idle => state.enter(Phase::Headers),
            Phase::Flushing { .. } => state.phase = Phase::Flushing { has_next: true },
            Phase::Headers | Phase::Body | Phase::Answer | Phase::Answering => {}
        }
    }

    /// The headers of a request have come. Only a client whose request has a body may end
    /// its sending side and wait for the answer: one that ends it after a GET has left.
    pub(super) fn request_came(&self, has_body: bool) {
        let mut state = self.state.lock();
        state.has_unread = false;
        if state.half_close != HalfClose::Closed {
            let allowed = HalfClose::Allowed { was_looked_for: false };
            state.half_close = if has_body { allowed } else { HalfClose::Refused };
        }
        state.awaits_body = false;
        state.enter(Phase::Body);
    }

    /// The service has asked for the body, and waits for more of it or not.
    pub(super) fn awaits_body(&self, awaits: bool) {
        let mut state = self.state.lock();
        state.awaits_body = awaits;
        if awaits && (state.is_draining || state.is_half_closed()) {
            state.wake();
        }
    }

    /// The body of the request has come.
    pub(super) fn body_came(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Body {
            state.enter(Phase::Answer);
            state.wake();
        }
    }

    /// The answer begins.
    pub(super) fn answer_begins(&self) {
        let mut state = self.state.lock();
        match state.phase {
            // What is left of the body, nobody reads.
            Phase::Body => state.has_unread = true,
            Phase::Answer => state.phase = Phase::Answering,
            Phase::Idle | Phase::Headers | Phase::Answering | Phase::Flushing { .. } => {}
        }
    }

    /// The whole answer is known. A part of it may still be in a buffer.
    pub(super) fn answer_ended(&self) {
        let mut state = self.state.lock();
        state.enter(Phase::Flushing { has_next: false });
        state.wake();
    }

    /// All that was written so far has been given to the system.
    pub(super) fn flushed(&self) {
        let mut state = self.state.lock();
        if let Phase::Flushing { has_next } = state.phase {
            state.enter(if has_next { Phase::Headers } else { Phase::Idle });
            state.wake();
        }
    }

    /// Ends the connection as soon as no answer is being served or sent: a request that came
    /// in part is not served any more. Returns whether an answer may still wait for the socket.
    pub(super) fn drain(&self) -> bool {
        let mut state = self.state.lock();
        state.is_draining = true;
        state.wake();
        matches!(state.phase, Phase::Flushing { .. })
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state.lock().is_draining
    }

    /// Returns whether the socket is to be read. Wakes the socket when that may have changed.
    pub(super) fn reading(&self, waker: &Waker) -> Reading {
        let mut state = self.state.lock();
        if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        match state.phase {
            _ if !state.is_draining => Reading::Continues,
            Phase::Idle => Reading::Ends(Expired::Quietly),
            Phase::Headers => Reading::Ends(Expired::InRequest),
            Phase::Body if state.awaits_body => Reading::Ends(Expired::InRequest),
            Phase::Body | Phase::Answer | Phase::Answering => Reading::Continues,
            Phase::Flushing { .. } => Reading::Pauses,
        }
    }

    /// Nothing is there to be read. Returns whether to look for the end of the client's
    /// sending side: once, after the whole request has come.
    pub(super) fn looks_for_end(&self) -> bool {
        let mut state = self.state.lock();
        let is_whole = matches!(state.phase, Phase::Answer | Phase::Answering);
        let looks = is_whole && state.half_close == HalfClose::Allowed { was_looked_for: false };
        if looks {
            state.half_close = HalfClose::Allowed { was_looked_for: true };
        }
        looks
    }

    /// The client has ended its sending side, and `with_request` says whether it had done so
    /// when the socket first looked for it. Returns whether it may still wait for its answer.
    pub(super) fn half_close(&self, with_request: bool) -> bool {
        let mut state = self.state.lock();
        match (state.phase, state.half_close) {
            (Phase::Idle | Phase::Headers, _) => return false,
            // The client cannot have read what is still to be sent.
            (Phase::Flushing { .. }, _) | (_, HalfClose::Closed) => return true,
            (_, HalfClose::Refused) => return false,
            // The service may not have looked yet whether the whole body is there.
            (Phase::Body, _) if state.awaits_body => return false,
            (Phase::Body, _) => state.half_close = HalfClose::Closed,
            (Phase::Answer | Phase::Answering, HalfClose::Allowed { was_looked_for }) => {
                let is_prompt = state.since.elapsed() < HALF_CLOSE_TIME;
                if with_request || !was_looked_for || is_prompt {
                    state.half_close = HalfClose::Closed;
                }
            }
        }
        state.is_half_closed()
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.state.lock().is_half_closed()
    }

    /// Whether bytes may be on their way that nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        let state = self.state.lock();
        state.has_unread
            || matches!(state.phase, Phase::Headers | Phase::Flushing { has_next: true })
    }

    /// When the client will have done nothing for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        let timeout = match state.phase {
            Phase::Idle => self.timeouts.idle,
            Phase::Headers => self.timeouts.header,
            Phase::Answer if state.is_half_closed() => HALF_CLOSED_TIMEOUT,
            Phase::Body | Phase::Answer | Phase::Answering | Phase::Flushing { .. } => return None,
        };
        state.since.checked_add(timeout)
    }

    /// The deadline has passed.
    pub(super) fn expire(&self) -> Expired {
        match self.state.lock().phase {
            Phase::Headers => Expired::InRequest,
            Phase::Idle
            | Phase::Body
            | Phase::Answer
            | Phase::Answering
            | Phase::Flushing { .. } => Expired::Quietly,
        }
    }
}

impl State {
    fn is_half_closed(&self) -> bool {
        self.half_close == HalfClose::Closed
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts =
        Timeouts { idle: Duration::from_secs(120), header: Duration::from_secs(10) };

    fn answered() -> Activity {
        let activity = Activity::new(TIMEOUTS);
        activity.bytes_came();
        activity.request_came(true);
        activity.body_came();
        activity.answer_begins();
        activity.answer_ended();
        activity
    }

    #[tokio::test(start_paused = true)]
    async fn the_header_timeout_begins_with_the_first_byte_of_a_request() {
        let activity = Activity::new(TIMEOUTS);
        let begun = Instant::now();
        assert_eq!(activity.deadline(), Some(begun + TIMEOUTS.idle));
        tokio::time::advance(Duration::from_secs(60)).await;
        activity.bytes_came();
        tokio::time::advance(Duration::from_secs(5)).await;
        activity.bytes_came();
        assert_eq!(activity.deadline(), Some(begun + Duration::from_secs(70)));
        assert_eq!(activity.expire(), Expired::InRequest);
        activity.request_came(true);
        activity.body_came();
        activity.answer_begins();
        assert_eq!(activity.deadline(), None);
        activity.answer_ended();
        activity.flushed();
        assert_eq!(activity.deadline(), Some(Instant::now() + TIMEOUTS.idle));
        assert_eq!(activity.expire(), Expired::Quietly);
        assert!(!activity.has_unread());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_idle_before_its_answer_is_flushed() {
        let activity = answered();
        assert_eq!(activity.deadline(), None);
        assert!(activity.half_close(true), "a part of the answer is still to be sent");
        tokio::time::advance(Duration::from_secs(600)).await;
        activity.flushed();
        assert_eq!(activity.deadline(), Some(Instant::now() + TIMEOUTS.idle));

        let pipelined = answered();
        pipelined.bytes_came();
        assert_eq!(pipelined.deadline(), None);
        pipelined.flushed();
        assert_eq!(pipelined.deadline(), Some(Instant::now() + TIMEOUTS.header));
    }

    #[tokio::test]
    async fn a_connection_that_drains_ends_between_its_answers() {
        let reading = |activity: &Activity| activity.reading(Waker::noop());
        let activity = answered();
        assert_eq!(reading(&activity), Reading::Continues);
        assert!(activity.drain());
        assert_eq!(reading(&activity), Reading::Pauses);
        activity.flushed();
        assert_eq!(reading(&activity), Reading::Ends(Expired::Quietly));

        let partial = Activity::new(TIMEOUTS);
        assert!(!partial.drain());
        partial.bytes_came();
        assert_eq!(reading(&partial), Reading::Ends(Expired::InRequest));
        partial.request_came(true);
        assert_eq!(reading(&partial), Reading::Continues);
        partial.awaits_body(true);
        assert_eq!(reading(&partial), Reading::Ends(Expired::InRequest));
        partial.body_came();
        assert_eq!(reading(&partial), Reading::Continues);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_ends_its_side_right_after_its_request_waits_for_the_answer() {
        let activity = Activity::new(TIMEOUTS);
        activity.request_came(true);
        activity.awaits_body(true);
        assert!(!activity.half_close(false), "a part of the request is missing");
        activity.awaits_body(false);
        assert!(activity.half_close(false));
        activity.body_came();
        assert!(activity.half_close(false));
        assert_eq!(activity.deadline(), Some(Instant::now() + HALF_CLOSED_TIMEOUT));
        activity.answer_begins();
        tokio::time::advance(HALF_CLOSE_TIME).await;
        assert!(activity.half_close(false) && activity.deadline().is_none());
        activity.answer_ended();
        activity.flushed();
        assert!(!activity.half_close(false));

        let get = Activity::new(TIMEOUTS);
        get.request_came(false);
        get.body_came();
        assert!(!get.looks_for_end() && !get.half_close(false), "it has left");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_was_there_with_the_request_is_found_however_late() {
        let posted = || {
            let activity = Activity::new(TIMEOUTS);
            activity.request_came(true);
            activity.body_came();
            activity
        };
        let read = posted();
        let looked_for = posted();
        let later = posted();
        assert!(later.looks_for_end());
        tokio::time::advance(HALF_CLOSE_TIME).await;
        assert!(read.half_close(false), "the first time that the socket is read");
        assert!(looked_for.looks_for_end() && looked_for.half_close(true));
        assert!(!later.looks_for_end() && !later.half_close(false), "it has left");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_body_after_the_answer_is_unread() {
        let activity = Activity::new(TIMEOUTS);
        activity.bytes_came();
        activity.request_came(true);
        activity.answer_begins();
        activity.answer_ended();
        assert!(activity.has_unread());
        activity.request_came(true);
        assert!(!activity.has_unread());
    }
}
