//! Session state machine: its state and its entry point.

mod attach;
mod backend;
mod backend_lost;
mod backpressure;
mod check;
mod client;
mod close;
mod commit;
mod connection;
mod delivery;
mod drain;
#[cfg(feature = "serde")]
mod fold;
mod getters;
mod initialize;
mod kept;
mod limit;
mod record;
mod requests;
#[cfg(feature = "serde")]
mod restore;
mod retain;
mod room;
#[cfg(feature = "serde")]
mod snapshot;
mod stall_estimator;
mod stopped;
mod stream;
mod summary;
mod tick;
mod tombstones;

use alloc::{boxed::Box, vec::Vec};
use core::{marker::PhantomData, time::Duration};

pub use self::summary::StreamSummary;
use self::{
    backpressure::HeldStream,
    check::PostEffect,
    commit::Commits,
    connection::Connections,
    limit::Limit,
    requests::{Requests, ServerRequests},
    stream::Streams,
};
pub(crate) use self::{
    connection::ConnectionKey,
    stream::{STANDALONE, StreamKey},
};
#[cfg(feature = "serde")]
pub(crate) use self::{kept::UnloggedEvent, stream::StreamRequest};
use crate::{
    Actions, Initialized, Input, Instant, Overflow, Priming, Profile, Rejected, Rejection,
    RequestId, SessionCloseReason, StreamId, ValidConfig,
    timers::{TimerKind, Timers},
};

/// One client's conversation with one server, as a state machine.
///
/// - *Inputs* go to [`handle`](Self::handle), with the time: the only way to change a session.
/// - *Deadlines* are read with [`deadline`](Self::deadline) after every input.
/// - All other methods inspect the state, for drivers and tests. Drivers ask, for
///   example, which connections are known, and how much is replayed from a log. The rest of a
///   [`Cursor`](crate::Cursor) and of a [`Log`](crate::Log), and
///   [`pending_requests`](Self::pending_requests), let tests check the laws from outside.
///
/// `C` is the driver's type of a message body of the client, which is only forwarded, and `S` that
/// of one of the backend. The latter is cloned when it is both sent and logged, so it should be
/// cheap to clone: reference-counted bytes, for example.
#[derive(Debug)]
pub struct Session<C, S = C> {
    config: ValidConfig,
    phase: Phase,
    now: Instant,
    /// When the session closes if it stays idle.
    idle_at: Instant,
    /// The latest `retry_at` of all streams: when the last of the clients that were sent a
    /// retry is expected.
    retry_at: Instant,
    initialized: Option<Initialized>,
    /// Whether the client has used the session, which proves that it got the response to
    /// `initialize`.
    was_used: bool,
    profile: &'static Profile,
    streams: Streams<S>,
    connections: Connections,
    requests: Requests,
    server_requests: ServerRequests,
    timers: Timers,
    /// Total cost of all logs in bytes.
    logged_bytes: usize,
    /// Total cost of all events in flight that no log has, in bytes.
    unlogged_bytes: usize,
    limit: Limit,
    /// While the session drains: the delay after which the client of the standalone stream comes back.
    drain_retry: Option<Duration>,
    /// The last number of the session-wide sequence of stream openings, events and stream ends.
    sequence: u64,
    /// Whether a counter has reached its maximum.
    exhausted: bool,
    /// Streams that hold a sender, each listed once.
    held_streams: Vec<HeldStream>,
    /// What is committed, if the session commits.
    commits: Option<Box<Commits>>,
    client_body: PhantomData<fn(C)>,
}

/// The phase of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Initializing { id: RequestId, connection: ConnectionKey },
    Live,
    Closed(SessionCloseReason),
}

impl<C, S: Clone> Session<C, S> {
    /// Creates a session at `now`.
    #[must_use]
    pub fn new(config: ValidConfig, now: Instant) -> Self {
        let mut timers = Timers::new();
        timers.insert(TimerKind::Initialize, 0, now.deadline_after(config.timeouts().init));
        let limit = Limit::new(config.session_bytes_max, false);
        let commits = config.commits.then(Box::default);
        Self {
            config,
            phase: Phase::New,
            now,
            idle_at: Instant::MAX,
            retry_at: Instant::EPOCH,
            initialized: None,
            was_used: false,
            profile: Profile::governing(None),
            streams: Streams::new(),
            connections: Connections::new(),
            requests: Requests::new(),
            server_requests: ServerRequests::new(),
            timers,
            logged_bytes: 0,
            unlogged_bytes: 0,
            limit,
            drain_retry: None,
            sequence: 0,
            exhausted: false,
            held_streams: Vec::new(),
            commits,
            client_body: PhantomData,
        }
    }

    /// Creates a session at `now` that takes the place of an earlier one, whose state was lost:
    /// event ids of that session do not name events of this one.
    ///
    /// The first request stream has the number `origin`, and the first event of the standalone
    /// stream the index after it. `origin` must be greater than every number of the earlier session: microseconds of
    /// a clock, for example. A client that resumes the standalone stream after an event of the
    /// earlier session gets a gap. Other streams of that session have expired.
    #[must_use]
    pub fn replacing(config: ValidConfig, now: Instant, origin: u64) -> Self {
        let mut session = Self::new(config, now);
        session.streams.start_at(origin);
        session
    }

    /// Applies one input. Actions are appended to `out`, in the order in which
    /// they must be carried out.
    ///
    /// Timers that are due at `now` fire first. A `now` before the previous one is replaced by
    /// the previous one.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] names who is at fault: the client, the backend or the driver. It comes
    /// with the input, whose requests still need an error response. A rejected input has no
    /// effect, with the two exceptions of law 3 on the [crate] page. In any case, timers that were
    /// due have fired, and their actions are in `out`.
    pub fn handle(
        &mut self,
        now: Instant,
        input: Input<C, S>,
        out: &mut Actions<C, S>,
    ) -> Result<(), Box<Rejected<C, S>>> {
        self.now = self.now.max(now);
        self.tick(out);
        if let Phase::Closed(reason) = self.phase {
            return match input {
                Input::Tick
                | Input::LimitBytes { .. }
                | Input::Drain { .. }
                | Input::Committed { .. }
                | Input::Acknowledged { .. }
                | Input::ConnectionClosed { .. } => Ok(()),
                Input::Post { .. }
                | Input::Get { .. }
                | Input::Abandon { .. }
                | Input::Delete
                | Input::CloseSession { .. }
                | Input::BackendMessage { .. }
                | Input::Disconnect { .. }
                | Input::BackendGone
                | Input::BackendLost => Err(Rejected::boxed(Rejection::Closed(reason), input)),
            };
        }
        if matches!(input, Input::Tick) {
            return Ok(());
        }
        if matches!(self.phase, Phase::New) && check::violates_handshake(&input) {
            let reason = SessionCloseReason::ExpectedInitialize;
            self.close(reason, out);
            return Err(Rejected::boxed(Rejection::Closed(reason), input));
        }
        let is_activity = check::is_activity(&input, self.is_idle());
        let is_client_use = check::is_from_client(&input) && matches!(self.phase, Phase::Live);
        let recorded_on = self.apply(input, out)?;
        self.was_used |= is_client_use;
        if is_activity {
            self.reset_idle_timer();
        }
        if let Some(stream) = recorded_on {
            self.hold_sender(stream, out);
        }
        self.flush_deferred(out);
        Ok(())
    }

    /// Returns when the next [`Input::Tick`] is due; `None` is never.
    ///
    /// It is always later than the time of the last input. Takes constant time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline_before(Instant::MAX)
    }

    /// Returns [`deadline`](Self::deadline) if it is earlier than `limit`. Cheaper, for a driver
    /// that has already armed a timer for `limit`.
    #[must_use]
    pub fn deadline_before(&self, limit: Instant) -> Option<Instant> {
        if limit <= self.timers.lower_bound() {
            return None;
        }
        let others = self.streams.tombstone_deadline().min(self.idle_deadline());
        let deadline = self.timers.deadline().min(others);
        (deadline < limit).then_some(deadline)
    }

    /// Validates and applies an input. Returns the stream on which a message was recorded, if its
    /// sender may have to wait.
    fn apply(
        &mut self,
        input: Input<C, S>,
        out: &mut Actions<C, S>,
    ) -> Result<Option<StreamId>, Box<Rejected<C, S>>> {
        match input {
            Input::Post { connection, format, post } => match self.check_post(connection, &post) {
                Ok(PostEffect::Initializes { id }) => {
                    self.begin_initialize(connection, id);
                    self.handle_messages(post, out);
                }
                Ok(PostEffect::OpensStream) => self.handle_requests(connection, format, post, out),
                Ok(PostEffect::OpensNothing) => self.handle_messages(post, out),
                Err(reason) => {
                    let input = Input::Post { connection, format, post };
                    return Err(Rejected::boxed(reason, input));
                }
            },
            Input::Get { connection, last_event_id } => {
                match self.check_get(connection, last_event_id) {
                    Ok(effect) => self.handle_get(connection, effect, out),
                    Err(reason) => return Err(Rejected::boxed(reason, input)),
                }
            }
            Input::Acknowledged { connection, through } => {
                self.on_acknowledged(connection, through, out);
            }
            Input::ConnectionClosed { connection, through } => {
                self.on_connection_closed(connection, through, out);
            }
            Input::Abandon { stream } => match self.check_abandon(stream) {
                Ok(key) => self.abandon(key, out),
                Err(reason) => return Err(Rejected::boxed(reason, input)),
            },
            Input::Delete => self.close(SessionCloseReason::Deleted, out),
            Input::CloseSession { reason } => self.close(reason, out),
            Input::BackendMessage { message, related, overflow } => {
                let checked = self.check_backend_message(&message);
                let checked = checked.and_then(|()| match overflow {
                    Overflow::Hold => self.check_room(&message, related.as_ref(), out),
                    Overflow::Evict => Ok(()),
                });
                if let Err(reason) = checked {
                    let input = Input::BackendMessage { message, related, overflow };
                    return Err(Rejected::boxed(reason, input));
                }
                return Ok(self.handle_backend_message(message, related.as_ref(), out));
            }
            Input::Disconnect { stream, retry } => match self.check_disconnect(stream, retry) {
                Ok(key) => {
                    if !self.defer_disconnect(key, retry) {
                        self.disconnect(key, retry, None, out);
                    }
                }
                Err(reason) => return Err(Rejected::boxed(reason, input)),
            },
            Input::BackendGone => self.close(SessionCloseReason::BackendGone, out),
            Input::BackendLost => self.on_backend_lost(out),
            Input::Committed { through } => match self.check_committed(through) {
                Ok(()) => self.on_committed(through, out),
                Err(reason) => return Err(Rejected::boxed(reason, input)),
            },
            Input::LimitBytes { bytes_max } => self.set_limit(bytes_max),
            Input::Drain { retry } => self.drain_retry = Some(retry),
            Input::Tick => {}
        }
        Ok(None)
    }

    /// Does what is deferred to the end of an input, or of the firing of a timer: shrinks to a
    /// lower limit, cuts stopped readers if a message waits for room, releases held senders that
    /// no longer need to wait, and closes the session if a counter is exhausted, or if it drains and
    /// waits for nothing.
    #[inline]
    fn flush_deferred(&mut self, out: &mut Actions<C, S>) {
        if self.limit.is_shrinking {
            self.shrink(out);
        }
        if !self.held_streams.is_empty() {
            self.cut_stopped(out);
            self.release_senders(out);
        }
        if self.exhausted {
            self.close_exhausted(out);
        }
        if let Some(retry) = self.drain_retry {
            self.close_if_drained(retry, out);
        }
    }

    #[cold]
    fn close_exhausted(&mut self, out: &mut Actions<C, S>) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.close(SessionCloseReason::Exhausted, out);
        }
    }
}

impl<C, S> Session<C, S> {
    /// Returns whether connections begin with priming events.
    fn uses_priming(&self) -> bool {
        match self.config.priming {
            Priming::ByRevision => self.initialized.is_some() && self.profile().priming,
            Priming::Always => true,
            Priming::Never => false,
        }
    }

    /// Returns when the session closes as idle; [`Instant::MAX`] is never.
    fn idle_deadline(&self) -> Instant {
        if self.is_idle() { self.idle_at } else { Instant::MAX }
    }

    fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Live)
            && self.requests.pending.is_empty()
            && self.connections.len() == 0
    }

    /// Restarts the idle timeout.
    fn reset_idle_timer(&mut self) {
        self.idle_at = self.now.max(self.retry_at).deadline_after(self.config.timeouts().idle);
        self.timers.lower_bound_to(self.idle_at);
    }

    /// Stores the result of the handshake.
    fn set_initialized(&mut self, initialized: Option<Initialized>) {
        self.initialized = initialized;
        self.profile = Profile::governing(initialized.and_then(|result| result.version));
    }

    /// Allocates the next number of the session-wide sequence.
    fn next_sequence(&mut self) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.exhausted |= self.sequence >= u64::MAX - 1;
        self.sequence
    }

    /// Returns whether a connection was sent all logged events and gaps of its stream.
    fn is_at_head(&self, stream: StreamKey, connection: ConnectionKey) -> bool {
        let log = &self.streams[stream].log;
        let cursor = &self.connections[connection].cursor;
        log.ends_before(cursor.next()) && log.missed_through() < cursor.next()
    }
}
