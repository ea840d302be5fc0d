//! What a connection is doing, as its socket and its service know it together.

use std::{task::Waker, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How soon after its request a client must end its sending side to have only that side
/// ended, as `nc -N` does. One that does so later has left: it may have read its answer.
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
}

/// Whether a client may end its sending side, and still wait for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HalfClose {
    /// A client that ends its sending side has left.
    Refused,
    /// A client may do so.
    Allowed,
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

impl Activity {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let state = State {
            phase: Phase::Idle,
            since: Instant::now(),
            has_unread: false,
            awaits_body: false,
            half_close: HalfClose::Refused,
            waker: None,
        };
        Self { timeouts, state: Mutex::new(state) }
    }

    /// Bytes have come.
    pub(super) fn bytes_came(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Idle {
            state.enter(Phase::Headers);
        }
    }

    /// The headers of a request have come. Only a client whose request has a body may end
    /// its sending side and wait for the answer: one that ends it after a GET has left.
    pub(super) fn request_came(&self, has_body: bool) {
        let mut state = self.state.lock();
        state.has_unread = false;
        if state.half_close != HalfClose::Closed {
            state.half_close = if has_body { HalfClose::Allowed } else { HalfClose::Refused };
        }
        state.awaits_body = false;
        state.enter(Phase::Body);
    }

    /// The service has asked for the body, and waits for more of it or not.
    pub(super) fn awaits_body(&self, awaits: bool) {
        let mut state = self.state.lock();
        state.awaits_body = awaits;
        if awaits && state.is_half_closed() {
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
            Phase::Idle | Phase::Headers | Phase::Answering => {}
        }
    }

    /// The answer has ended.
    pub(super) fn answer_ended(&self) {
        let mut state = self.state.lock();
        state.enter(Phase::Idle);
        state.wake();
    }

    /// The client has ended its sending side. Returns whether it may still wait for its
    /// answer.
    pub(super) fn half_close(&self) -> bool {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Idle | Phase::Headers => return false,
            _ if state.half_close == HalfClose::Refused => return false,
            // The service may not have looked yet whether the whole body is there.
            Phase::Body if state.awaits_body => return false,
            Phase::Body => state.half_close = HalfClose::Closed,
            Phase::Answer | Phase::Answering => {
                if state.since.elapsed() < HALF_CLOSE_TIME {
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
        state.has_unread || state.phase == Phase::Headers
    }

    /// When the client will have done nothing for too long. Wakes the socket when that
    /// may have changed.
    pub(super) fn deadline(&self, waker: &Waker) -> Option<Instant> {
        let mut state = self.state.lock();
        if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        let timeout = match state.phase {
            Phase::Idle => self.timeouts.idle,
            Phase::Headers => self.timeouts.header,
            Phase::Answer if state.is_half_closed() => HALF_CLOSED_TIMEOUT,
            Phase::Body | Phase::Answer | Phase::Answering => return None,
        };
        state.since.checked_add(timeout)
    }

    /// The deadline has passed.
    pub(super) fn expire(&self) -> Expired {
        match self.state.lock().phase {
            Phase::Headers => Expired::InRequest,
            Phase::Idle | Phase::Body | Phase::Answer | Phase::Answering => Expired::Quietly,
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

    #[tokio::test(start_paused = true)]
    async fn the_header_timeout_begins_with_the_first_byte_of_a_request() {
        let activity = Activity::new(TIMEOUTS);
        let begun = Instant::now();
        assert_eq!(activity.deadline(Waker::noop()), Some(begun + TIMEOUTS.idle));
        tokio::time::advance(Duration::from_secs(60)).await;
        activity.bytes_came();
        tokio::time::advance(Duration::from_secs(5)).await;
        activity.bytes_came();
        assert_eq!(activity.deadline(Waker::noop()), Some(begun + Duration::from_secs(70)));
        assert_eq!(activity.expire(), Expired::InRequest);
        activity.request_came(true);
        activity.body_came();
        activity.answer_begins();
        assert_eq!(activity.deadline(Waker::noop()), None);
        activity.answer_ended();
        assert_eq!(activity.deadline(Waker::noop()), Some(Instant::now() + TIMEOUTS.idle));
        assert_eq!(activity.expire(), Expired::Quietly);
        assert!(!activity.has_unread());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_ends_its_side_right_after_its_request_waits_for_the_answer() {
        let activity = Activity::new(TIMEOUTS);
        activity.request_came(true);
        activity.awaits_body(true);
        assert!(!activity.half_close(), "a part of the request is missing");
        activity.awaits_body(false);
        assert!(activity.half_close());
        activity.body_came();
        assert!(activity.half_close());
        assert_eq!(activity.deadline(Waker::noop()), Some(Instant::now() + HALF_CLOSED_TIMEOUT));
        activity.answer_begins();
        tokio::time::advance(HALF_CLOSE_TIME).await;
        assert!(activity.half_close() && activity.deadline(Waker::noop()).is_none());
        activity.answer_ended();
        assert!(!activity.half_close());

        let later = Activity::new(TIMEOUTS);
        later.request_came(true);
        later.body_came();
        tokio::time::advance(HALF_CLOSE_TIME).await;
        assert!(!later.half_close(), "it has left");

        let get = Activity::new(TIMEOUTS);
        get.request_came(false);
        get.body_came();
        assert!(!get.half_close(), "it has left");
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
