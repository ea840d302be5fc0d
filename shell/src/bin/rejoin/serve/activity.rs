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
    Processing,
    /// Its answer has begun.
    Responding,
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
        is_checked: bool,
    },
    /// The client has done so.
    Closed,
}

/// What is to be done about a client that has done nothing for too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The connection ends as if the client had ended it.
    Close,
    /// The connection breaks off in the middle of a request.
    Abort,
}

/// Whether the socket is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Continue,
    /// Not before what is being sent has been sent.
    Pause,
    End(Ending),
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
    pub(super) fn on_bytes_received(&self) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Idle => state.enter(Phase::Headers),
            Phase::Flushing { .. } => state.phase = Phase::Flushing { has_next: true },
            Phase::Headers | Phase::Body | Phase::Processing | Phase::Responding => {}
        }
    }

    /// The headers of a request have come. Only a client whose request has a body may end
    /// its sending side and wait for the answer: one that ends it after a GET has left.
    pub(super) fn on_request_head(&self, has_body: bool) {
        let mut state = self.state.lock();
        state.has_unread = false;
        if state.half_close != HalfClose::Closed {
            let allowed = HalfClose::Allowed { is_checked: false };
            state.half_close = if has_body { allowed } else { HalfClose::Refused };
        }
        state.awaits_body = false;
        state.enter(Phase::Body);
    }

    /// The service has asked for the body, and waits for more of it or not.
    pub(super) fn set_awaits_body(&self, awaits: bool) {
        let mut state = self.state.lock();
        state.awaits_body = awaits;
        if awaits && (state.is_draining || state.is_half_closed()) {
            state.wake();
        }
    }

    /// The body of the request has come.
    pub(super) fn on_request_complete(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Body {
            state.enter(Phase::Processing);
            state.wake();
        }
    }

    /// The answer begins.
    pub(super) fn on_response_started(&self) {
        let mut state = self.state.lock();
        match state.phase {
            // What is left of the body, nobody reads.
            Phase::Body => state.has_unread = true,
            Phase::Processing => state.phase = Phase::Responding,
            Phase::Idle | Phase::Headers | Phase::Responding | Phase::Flushing { .. } => {}
        }
    }

    /// The whole answer is known. A part of it may still be in a buffer.
    pub(super) fn on_response_complete(&self) {
        let mut state = self.state.lock();
        state.enter(Phase::Flushing { has_next: false });
        state.wake();
    }

    /// All that was written so far has been given to the system.
    pub(super) fn on_flushed(&self) {
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
    pub(super) fn poll_reading(&self, waker: &Waker) -> Reading {
        let mut state = self.state.lock();
        if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        match state.phase {
            _ if !state.is_draining => Reading::Continue,
            Phase::Idle => Reading::End(Ending::Close),
            Phase::Headers => Reading::End(Ending::Abort),
            Phase::Body if state.awaits_body => Reading::End(Ending::Abort),
            Phase::Body | Phase::Processing | Phase::Responding => Reading::Continue,
            Phase::Flushing { .. } => Reading::Pause,
        }
    }

    /// Nothing is there to be read. Returns whether to look for the end of the client's
    /// sending side: once, after the whole request has come.
    pub(super) fn take_half_close_check(&self) -> bool {
        let mut state = self.state.lock();
        let is_whole = matches!(state.phase, Phase::Processing | Phase::Responding);
        let looks = is_whole && state.half_close == HalfClose::Allowed { is_checked: false };
        if looks {
            state.half_close = HalfClose::Allowed { is_checked: true };
        }
        looks
    }

    /// The client has ended its sending side, and `with_request` says whether it had done so
    /// when the socket first looked for it. Returns whether it may still wait for its answer.
    pub(super) fn on_half_close(&self, with_request: bool) -> bool {
        let mut state = self.state.lock();
        match (state.phase, state.half_close) {
            (Phase::Idle | Phase::Headers, _) => return false,
            // The client cannot have read what is still to be sent.
            (Phase::Flushing { .. }, _) | (_, HalfClose::Closed) => return true,
            (_, HalfClose::Refused) => return false,
            // The service may not have looked yet whether the whole body is there.
            (Phase::Body, _) if state.awaits_body => return false,
            (Phase::Body, _) => state.half_close = HalfClose::Closed,
            (
                Phase::Processing | Phase::Responding,
                HalfClose::Allowed { is_checked: was_looked_for },
            ) => {
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
            Phase::Processing if state.is_half_closed() => HALF_CLOSED_TIMEOUT,
            Phase::Body | Phase::Processing | Phase::Responding | Phase::Flushing { .. } => {
                return None;
            }
        };
        state.since.checked_add(timeout)
    }

    /// The deadline has passed.
    pub(super) fn on_timeout(&self) -> Ending {
        match self.state.lock().phase {
            Phase::Headers => Ending::Abort,
            Phase::Idle
            | Phase::Body
            | Phase::Processing
            | Phase::Responding
            | Phase::Flushing { .. } => Ending::Close,
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

    fn responded() -> Activity {
        let activity = Activity::new(TIMEOUTS);
        activity.on_bytes_received();
        activity.on_request_head(true);
        activity.on_request_complete();
        activity.on_response_started();
        activity.on_response_complete();
        activity
    }

    #[tokio::test(start_paused = true)]
    async fn the_header_timeout_starts_at_the_first_byte_of_a_request() {
        let activity = Activity::new(TIMEOUTS);
        let begun = Instant::now();
        assert_eq!(activity.deadline(), Some(begun + TIMEOUTS.idle));
        tokio::time::advance(Duration::from_secs(60)).await;
        activity.on_bytes_received();
        tokio::time::advance(Duration::from_secs(5)).await;
        activity.on_bytes_received();
        assert_eq!(activity.deadline(), Some(begun + Duration::from_secs(70)));
        assert_eq!(activity.on_timeout(), Ending::Abort);
        activity.on_request_head(true);
        activity.on_request_complete();
        activity.on_response_started();
        assert_eq!(activity.deadline(), None);
        activity.on_response_complete();
        activity.on_flushed();
        assert_eq!(activity.deadline(), Some(Instant::now() + TIMEOUTS.idle));
        assert_eq!(activity.on_timeout(), Ending::Close);
        assert!(!activity.has_unread());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_after_its_response_is_flushed() {
        let activity = responded();
        assert_eq!(activity.deadline(), None);
        assert!(activity.on_half_close(true), "a part of the answer is still to be sent");
        tokio::time::advance(Duration::from_secs(600)).await;
        activity.on_flushed();
        assert_eq!(activity.deadline(), Some(Instant::now() + TIMEOUTS.idle));

        let pipelined = responded();
        pipelined.on_bytes_received();
        assert_eq!(pipelined.deadline(), None);
        pipelined.on_flushed();
        assert_eq!(pipelined.deadline(), Some(Instant::now() + TIMEOUTS.header));
    }

    #[tokio::test]
    async fn a_draining_connection_ends_between_responses() {
        let reading = |activity: &Activity| activity.poll_reading(Waker::noop());
        let activity = responded();
        assert_eq!(reading(&activity), Reading::Continue);
        assert!(activity.drain());
        assert_eq!(reading(&activity), Reading::Pause);
        activity.on_flushed();
        assert_eq!(reading(&activity), Reading::End(Ending::Close));

        let partial = Activity::new(TIMEOUTS);
        assert!(!partial.drain());
        partial.on_bytes_received();
        assert_eq!(reading(&partial), Reading::End(Ending::Abort));
        partial.on_request_head(true);
        assert_eq!(reading(&partial), Reading::Continue);
        partial.set_awaits_body(true);
        assert_eq!(reading(&partial), Reading::End(Ending::Abort));
        partial.on_request_complete();
        assert_eq!(reading(&partial), Reading::Continue);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_half_closes_right_after_its_request_gets_its_response() {
        let activity = Activity::new(TIMEOUTS);
        activity.on_request_head(true);
        activity.set_awaits_body(true);
        assert!(!activity.on_half_close(false), "a part of the request is missing");
        activity.set_awaits_body(false);
        assert!(activity.on_half_close(false));
        activity.on_request_complete();
        assert!(activity.on_half_close(false));
        assert_eq!(activity.deadline(), Some(Instant::now() + HALF_CLOSED_TIMEOUT));
        activity.on_response_started();
        tokio::time::advance(HALF_CLOSE_TIME).await;
        assert!(activity.on_half_close(false) && activity.deadline().is_none());
        activity.on_response_complete();
        activity.on_flushed();
        assert!(!activity.on_half_close(false));

        let get = Activity::new(TIMEOUTS);
        get.on_request_head(false);
        get.on_request_complete();
        assert!(!get.take_half_close_check() && !get.on_half_close(false), "it has left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_close_that_came_with_the_request_is_accepted_late() {
        let posted = || {
            let activity = Activity::new(TIMEOUTS);
            activity.on_request_head(true);
            activity.on_request_complete();
            activity
        };
        let read = posted();
        let looked_for = posted();
        let later = posted();
        assert!(later.take_half_close_check());
        tokio::time::advance(HALF_CLOSE_TIME).await;
        assert!(read.on_half_close(false), "the first time that the socket is read");
        assert!(looked_for.take_half_close_check() && looked_for.on_half_close(true));
        assert!(!later.take_half_close_check() && !later.on_half_close(false), "it has left");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_body_after_the_response_is_unread() {
        let activity = Activity::new(TIMEOUTS);
        activity.on_bytes_received();
        activity.on_request_head(true);
        activity.on_response_started();
        activity.on_response_complete();
        assert!(activity.has_unread());
        activity.on_request_head(true);
        assert!(!activity.has_unread());
    }
}
