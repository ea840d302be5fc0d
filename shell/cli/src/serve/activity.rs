//! The state of an HTTP/1.1 connection, shared by its socket and its service.

use std::{task::Waker, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How soon after its request an end of input counts as a half-close, as `nc -N` does. After
/// that, unless it had arrived together with the request, it means that the client has
/// disconnected.
const HALF_CLOSE_TIME: Duration = Duration::from_millis(2);

/// How long a half-closed client waits for its response to start.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Maximum time between two requests.
    pub(crate) idle: Duration,
    /// Maximum time from the first byte of a request to the end of its headers.
    pub(crate) header: Duration,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Activity {
    timeouts: Timeouts,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    phase_started_at: Instant,
    /// Whether a part of the current request will not be read.
    has_unread: bool,
    /// Whether the service waits for more of the request body.
    awaits_body: bool,
    half_close: HalfClose,
    /// Whether the connection ends after its current response.
    is_draining: bool,
    /// Wakes the socket, which waits for input or for a deadline.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No byte of a request was received.
    Idle,
    /// The headers were received in part.
    Headers,
    /// The request is served, and its body was received in part.
    Body,
    /// The request is served, and was received completely.
    Processing,
    /// The response has started.
    Responding,
    /// The response is complete, but may not be written to the socket yet.
    Flushing {
        /// Whether bytes of the next request were received.
        has_next: bool,
    },
}

/// Whether an end of input is a half-close, after which the client still waits for its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HalfClose {
    /// An end of input means that the client has disconnected.
    Disallowed,
    /// The client may half-close together with its request, or right after it.
    Allowed {
        /// Whether the socket was checked for an end of input since the request is complete.
        is_checked: bool,
    },
    /// The client has half-closed the connection.
    Closed,
}

/// How a connection ends because of a timeout or a shutdown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As if the client had closed it.
    Close,
    /// With an error, in the middle of a request.
    Abort,
}

/// Whether the socket may be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Continue,
    /// Not until the response is flushed.
    Pause,
    End(Ending),
}

impl Activity {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let state = State {
            phase: Phase::Idle,
            phase_started_at: Instant::now(),
            has_unread: false,
            awaits_body: false,
            half_close: HalfClose::Disallowed,
            is_draining: false,
            waker: None,
        };
        Self { timeouts, state: Mutex::new(state) }
    }

    /// Handles received bytes.
    pub(super) fn on_bytes_received(&self) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Idle => state.enter(Phase::Headers),
            Phase::Flushing { .. } => state.phase = Phase::Flushing { has_next: true },
            Phase::Headers | Phase::Body | Phase::Processing | Phase::Responding => {}
        }
    }

    /// Handles a request head. A half-close is accepted only after a request with a body: an end
    /// of input after a GET means that the client has disconnected.
    pub(super) fn on_request_head(&self, has_body: bool) {
        let mut state = self.state.lock();
        state.has_unread = false;
        if state.half_close != HalfClose::Closed {
            let allowed = HalfClose::Allowed { is_checked: false };
            state.half_close = if has_body { allowed } else { HalfClose::Disallowed };
        }
        state.awaits_body = false;
        state.enter(Phase::Body);
    }

    /// Records whether the service waits for more of the request body.
    pub(super) fn set_awaits_body(&self, awaits: bool) {
        let mut state = self.state.lock();
        state.awaits_body = awaits;
        if awaits && (state.is_draining || state.is_half_closed()) {
            state.wake();
        }
    }

    /// Handles the end of the request body.
    pub(super) fn on_request_complete(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Body {
            state.enter(Phase::Processing);
            state.wake();
        }
    }

    /// Handles the start of the response.
    pub(super) fn on_response_started(&self) {
        let mut state = self.state.lock();
        match state.phase {
            // The rest of the body will not be read.
            Phase::Body => state.has_unread = true,
            Phase::Processing => state.phase = Phase::Responding,
            Phase::Idle | Phase::Headers | Phase::Responding | Phase::Flushing { .. } => {}
        }
    }

    /// Handles the end of the response, which may still be in a write buffer.
    pub(super) fn on_response_complete(&self) {
        let mut state = self.state.lock();
        state.enter(Phase::Flushing { has_next: false });
        state.wake();
    }

    /// Handles the flush of all output to the socket.
    pub(super) fn on_flushed(&self) {
        let mut state = self.state.lock();
        if let Phase::Flushing { has_next } = state.phase {
            state.enter(if has_next { Phase::Headers } else { Phase::Idle });
            state.wake();
        }
    }

    /// Begins to drain the connection, which ends after its current response. A request that was
    /// received in part is not served. Returns whether a response may still have to be flushed.
    pub(super) fn drain(&self) -> bool {
        let mut state = self.state.lock();
        state.is_draining = true;
        state.wake();
        matches!(state.phase, Phase::Flushing { .. })
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state.lock().is_draining
    }

    /// Returns whether the socket may be read. Wakes it when that may have changed.
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

    /// Returns whether to check the socket for a half-close, because it has no input. True once
    /// per request, after the request is complete.
    pub(super) fn take_half_close_check(&self) -> bool {
        let mut state = self.state.lock();
        let is_complete = matches!(state.phase, Phase::Processing | Phase::Responding);
        let must_check =
            is_complete && state.half_close == HalfClose::Allowed { is_checked: false };
        if must_check {
            state.half_close = HalfClose::Allowed { is_checked: true };
        }
        must_check
    }

    /// Handles the end of input. `with_request` is whether it was there at the first check after
    /// the request. Returns whether the client still waits for its response.
    pub(super) fn on_half_close(&self, with_request: bool) -> bool {
        let mut state = self.state.lock();
        match (state.phase, state.half_close) {
            (Phase::Idle | Phase::Headers, _) => return false,
            // The client cannot have read the response yet.
            (Phase::Flushing { .. }, _) | (_, HalfClose::Closed) => return true,
            (_, HalfClose::Disallowed) => return false,
            // The service may not have read the rest of the body yet.
            (Phase::Body, _) if state.awaits_body => return false,
            (Phase::Body, _) => state.half_close = HalfClose::Closed,
            (Phase::Processing | Phase::Responding, HalfClose::Allowed { is_checked }) => {
                let is_prompt = state.phase_started_at.elapsed() < HALF_CLOSE_TIME;
                if with_request || !is_checked || is_prompt {
                    state.half_close = HalfClose::Closed;
                }
            }
        }
        state.is_half_closed()
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.state.lock().is_half_closed()
    }

    /// Returns whether there may be input that will not be read.
    pub(super) fn has_unread(&self) -> bool {
        let state = self.state.lock();
        state.has_unread
            || matches!(state.phase, Phase::Headers | Phase::Flushing { has_next: true })
    }

    /// Returns when the timeout of the current phase expires.
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
        state.phase_started_at.checked_add(timeout)
    }

    /// Handles an expired timeout.
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
        self.phase_started_at = Instant::now();
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
        let started = Instant::now();
        assert_eq!(activity.deadline(), Some(started + TIMEOUTS.idle));
        tokio::time::advance(Duration::from_secs(60)).await;
        activity.on_bytes_received();
        tokio::time::advance(Duration::from_secs(5)).await;
        activity.on_bytes_received();
        assert_eq!(activity.deadline(), Some(started + Duration::from_secs(70)));
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
        assert!(activity.on_half_close(true), "the response is not flushed yet");
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
        assert!(!activity.on_half_close(false), "the request is incomplete");
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
        assert!(
            !get.take_half_close_check() && !get.on_half_close(false),
            "the client has disconnected"
        );
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
        let checked = posted();
        let later = posted();
        assert!(later.take_half_close_check());
        tokio::time::advance(HALF_CLOSE_TIME).await;
        assert!(read.on_half_close(false), "first read of the socket");
        assert!(checked.take_half_close_check() && checked.on_half_close(true));
        assert!(
            !later.take_half_close_check() && !later.on_half_close(false),
            "the client has disconnected"
        );
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
