//! The session: decides what every input means, by asking the tables around it.

mod attach;
mod backend;
mod backpressure;
mod check;
mod client;
mod close;
mod connection;
mod delivery;
mod in_flight;
mod initialize;
mod record;
mod requests;
#[cfg(feature = "serde")]
mod restore;
mod retain;
#[cfg(feature = "serde")]
mod snapshot;
mod stall_estimator;
mod stream;
mod tick;
mod tombstones;

use alloc::vec::Vec;
use core::ops::Range;

use self::{
    backpressure::HeldStream,
    connection::{Connections, Subject},
    requests::{Requests, ServerRequests},
    stream::{Stream, Streams},
};
pub(crate) use self::{
    connection::{ConnectionKey, Role},
    stream::{STANDALONE, StreamKey},
};
#[cfg(feature = "serde")]
pub(crate) use self::{in_flight::Sent, stream::StreamRequest};
use crate::{
    Actions, CloseReason, ConnectionId, Cursor, Initialized, Input, Instant, Log, Logged, Priming,
    Profile, Rejection, RequestId, StreamId, ValidConfig,
    timers::{TimerKind, Timers},
};

/// One client's conversation with one server, as a state machine.
///
/// - *Inputs* are told to [`handle`](Self::handle), with the time, which is the
///   only way to change a session.
/// - *Deadlines* are asked for with [`deadline`](Self::deadline) after every input.
/// - *Replays* are read with [`replay`](Self::replay), when an action says so.
/// - Everything else looks at the state, for drivers and tests.
///
/// `M` is what the driver calls a message. It is cloned when it is both sent and
/// kept, so it should be cheap to clone: reference-counted bytes, for example.
#[derive(Debug)]
pub struct Session<M> {
    config: ValidConfig,
    phase: Phase,
    now: Instant,
    /// When the idle time is over.
    idle_due: Instant,
    /// When the last client of a stream without a connection comes back, of those that were
    /// told to do so later.
    retry_at: Instant,
    initialized: Option<Initialized>,
    /// Whether the client used the session, and so had the answer to `initialize`.
    was_used: bool,
    profile: &'static Profile,
    streams: Streams<M>,
    connections: Connections,
    requests: Requests,
    server_requests: ServerRequests,
    timers: Timers,
    /// What all logs cost.
    logged_bytes: usize,
    /// What was sent on all connections and not taken, in bytes.
    in_flight: usize,
    /// Whether an event was sent beyond `window_bytes_max`.
    is_window_exceeded: bool,
    /// The number of the last open, event or end.
    sequence: u64,
    /// Whether a counter has no next value.
    exhausted: bool,
    /// Streams that hold a sender up, each once.
    held_streams: Vec<HeldStream>,
}

/// How a session answers an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Backpressure {
    /// Go on.
    None,
    /// The sender of this message should wait for
    /// [`Action::Release`](crate::Action::Release) of the stream: a reader that
    /// makes progress trails, and what the session may keep is half used up.
    Hold(StreamId),
}

/// How far the session has got.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Initializing { id: RequestId, connection: ConnectionKey },
    Live,
    Closed(CloseReason),
}

impl<M: Clone> Session<M> {
    /// Begins a session at `now`.
    #[must_use]
    pub fn new(config: ValidConfig, now: Instant) -> Self {
        let mut timers = Timers::new();
        timers.insert(TimerKind::Initialize, 0, now.deadline_after(config.timeouts().init));
        Self {
            config,
            phase: Phase::New,
            now,
            idle_due: Instant::MAX,
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
            in_flight: 0,
            is_window_exceeded: false,
            sequence: 0,
            exhausted: false,
            held_streams: Vec::new(),
        }
    }

    /// Applies one input. Actions are appended to `out`, in the order in which
    /// they must be carried out.
    ///
    /// What is due at `now` happens first. A `now` that is smaller than the last
    /// one counts as the last one.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] names who is at fault: the client, the backend or the
    /// caller. The input has then changed nothing; what was due did happen, and
    /// its actions are in `out`. The message is gone with the input: whoever has to
    /// answer it with an error keeps its id. A rejected request of the backend
    /// needs such an answer, too.
    pub fn handle(
        &mut self,
        now: Instant,
        input: Input<M>,
        out: &mut Actions<M>,
    ) -> Result<Backpressure, Rejection> {
        self.now = self.now.max(now);
        self.tick(out);
        if let Phase::Closed(reason) = self.phase {
            return match input {
                Input::Tick | Input::Acknowledged { .. } | Input::ConnectionClosed { .. } => {
                    Ok(Backpressure::None)
                }
                Input::Reserve { .. }
                | Input::Request { .. }
                | Input::Get { .. }
                | Input::Message { .. }
                | Input::Abandon { .. }
                | Input::Delete
                | Input::CloseSession { .. }
                | Input::BackendMessage { .. }
                | Input::Disconnect { .. }
                | Input::BackendGone => Err(Rejection::Closed(reason)),
            };
        }
        if matches!(input, Input::Tick) {
            return Ok(Backpressure::None);
        }
        let is_activity = !(self.is_idle() && check::is_from_backend(&input));
        let is_client_use = check::is_from_client(&input) && matches!(self.phase, Phase::Live);
        let recorded_on = self.apply(input, out)?;
        self.was_used |= is_client_use;
        if is_activity {
            self.reset_idle_timer();
        }
        self.enforce_window(out);
        let pressure = recorded_on.map_or(Backpressure::None, |stream| self.backpressure(stream));
        self.recheck_backpressure(out);
        Ok(pressure)
    }

    /// Returns when the next [`Input::Tick`] has something to do.
    ///
    /// It is always later than the time of the last input. Takes constant time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline_before(Instant::MAX)
    }

    /// Returns [`deadline`](Self::deadline) if it is earlier than `limit`: at less cost,
    /// where a timer is set already, and mostly early enough.
    #[must_use]
    pub fn deadline_before(&self, limit: Instant) -> Option<Instant> {
        let others = self.streams.tombstone_deadline().min(self.idle_deadline());
        let is_late = limit <= self.timers.lower_bound() && limit <= others;
        let deadline = if is_late { limit } else { self.timers.deadline().min(others) };
        (deadline < limit).then_some(deadline)
    }

    /// Returns the retained events of `stream` in `range`: what an
    /// [`Action::Replay`](crate::Action::Replay) refers to.
    ///
    /// Read it before the next input, which may change the log.
    pub fn replay(&self, stream: StreamId, range: Range<u64>) -> impl Iterator<Item = &Logged<M>> {
        let log = self.log(stream);
        log.into_iter().flat_map(move |log| log.range(range.clone()))
    }

    /// Carries an input out. Returns the stream on which a message was recorded whose sender
    /// may have to wait.
    fn apply(
        &mut self,
        input: Input<M>,
        out: &mut Actions<M>,
    ) -> Result<Option<StreamId>, Rejection> {
        if matches!(self.phase, Phase::New) && check::violates_handshake(&input) {
            self.close(CloseReason::ExpectedInitialize, out);
            return Ok(None);
        }
        match input {
            Input::Reserve { connection } => {
                self.check_reserve(connection)?;
                self.reserve(connection);
            }
            Input::Request { connection, format, post } => {
                let reserved = self.check_request(connection, &post)?;
                self.handle_request(connection, reserved, format, post, out);
            }
            Input::Get { connection, last_event_id } => {
                self.check_get(connection, last_event_id)?;
                self.handle_get(connection, last_event_id, out);
            }
            Input::Message { post } => {
                self.check_message(&post)?;
                self.handle_messages(post, out);
            }
            Input::Acknowledged { connection, through } => {
                self.on_acknowledged(connection, through, out)
            }
            Input::ConnectionClosed { connection, through } => {
                self.on_connection_closed(connection, through, out)
            }
            Input::Abandon { stream } => {
                let key = self.check_abandon(stream)?;
                self.abandon(key, out);
            }
            Input::Delete => self.close(CloseReason::Deleted, out),
            Input::CloseSession { reason } => self.close(reason, out),
            Input::BackendMessage { message, related } => {
                self.check_backend_message(&message)?;
                return Ok(self.handle_backend_message(message, related.as_ref(), out));
            }
            Input::Disconnect { stream, retry } => {
                let key = self.check_disconnect(stream, retry)?;
                self.disconnect(key, retry, out);
            }
            Input::BackendGone => self.close(CloseReason::BackendGone, out),
            Input::Tick => {}
        }
        Ok(None)
    }

    /// Ends what an input or a deadline has begun.
    #[inline]
    fn flush_deferred(&mut self, out: &mut Actions<M>) {
        self.enforce_window(out);
        self.recheck_backpressure(out);
    }

    /// Cuts connections that hold more than the window in bytes allows, and closes the session
    /// if a counter is exhausted.
    #[inline]
    fn enforce_window(&mut self, out: &mut Actions<M>) {
        if self.is_window_exceeded {
            self.cut_stopped(out);
        }
        if self.exhausted {
            self.close_exhausted(out);
        }
    }

    /// Releases the senders that do not need to wait any more, if any waits.
    #[inline]
    fn recheck_backpressure(&mut self, out: &mut Actions<M>) {
        if !self.held_streams.is_empty() {
            self.release_senders(out);
        }
    }

    #[cold]
    fn close_exhausted(&mut self, out: &mut Actions<M>) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.close(CloseReason::Exhausted, out);
        }
    }
}

impl<M> Session<M> {
    /// Returns what the session may hold, and for how long.
    #[must_use]
    pub fn config(&self) -> &ValidConfig {
        &self.config
    }

    /// Returns the cursor of a known connection.
    #[must_use]
    pub fn cursor(&self, connection: ConnectionId) -> Option<&Cursor> {
        let key = self.connections.find(connection)?;
        Some(&self.connections[key].cursor)
    }

    /// Returns the log of a stream, unless nothing or a tombstone is left of it.
    #[must_use]
    pub fn log(&self, stream: StreamId) -> Option<&Log<M>> {
        if matches!(self.phase, Phase::Closed(_)) {
            return None;
        }
        let key = self.streams.find(stream)?;
        Some(&self.streams[key].log)
    }

    /// Returns the stream that a connection carries.
    #[must_use]
    pub fn stream_on(&self, connection: ConnectionId) -> Option<StreamId> {
        let connection = &self.connections[self.connections.find(connection)?];
        match (connection.role, connection.subject) {
            (Role::Attached, Subject::Stream(key)) => Some(self.streams[key].id),
            (Role::Attached, Subject::Initialize | Subject::Removed(_))
            | (Role::Shadow | Role::Draining, _) => None,
        }
    }

    /// Returns whether a connection carries the stream of a request, and has still to send what
    /// the session has recorded, or has no room for the failure of a pending request. If the
    /// session ended now, its client would miss that.
    #[must_use]
    pub fn has_backlog(&self, connection: ConnectionId) -> bool {
        let Some(key) = self.connections.find(connection) else { return false };
        let (Role::Attached, Subject::Stream(stream)) =
            (self.connections[key].role, self.connections[key].subject)
        else {
            return false;
        };
        let Stream { log, pending, .. } = &self.streams[stream];
        let is_behind = !log.ends_before(self.connections[key].cursor.next());
        let may_fail_next = || self.may_send_next(stream, key, 0);
        stream != STANDALONE && (is_behind || *pending > 0 && !may_fail_next())
    }

    /// Returns the stream of a pending request of the client.
    #[must_use]
    pub fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        let key = self.requests.pending.get(request)?;
        Some(self.streams[*key].id)
    }

    /// Goes through the known connections, by id.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.iter().map(|(id, _)| id)
    }

    /// Returns how many requests of the client are pending, `initialize` not counted.
    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.requests.pending.len()
    }

    /// Returns whether the backend still has to answer this request of the client.
    #[must_use]
    pub fn is_unanswered(&self, request: &RequestId) -> bool {
        self.unanswered_initialize() == Some(request)
            || self.requests.pending.get(request).is_some()
    }

    /// Returns the only request of the client that the backend still has to answer;
    /// `None` where there is none, or more than one.
    #[must_use]
    pub fn sole_unanswered(&self) -> Option<&RequestId> {
        let pending = self.requests.pending.iter().map(|(id, _)| id);
        let mut unanswered = self.unanswered_initialize().into_iter().chain(pending);
        let first = unanswered.next()?;
        unanswered.next().is_none().then_some(first)
    }

    fn unanswered_initialize(&self) -> Option<&RequestId> {
        match &self.phase {
            Phase::Initializing { id, .. } => Some(id),
            Phase::New | Phase::Live | Phase::Closed(_) => None,
        }
    }

    /// Returns what the logs cost, in bytes.
    #[must_use]
    pub fn logged_bytes(&self) -> usize {
        self.logged_bytes
    }

    /// Returns the last number of the session-wide sequence of streams that open,
    /// events that are logged and streams that end; 0 at first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns what the answer to `initialize` said, once it came.
    #[must_use]
    pub fn initialized(&self) -> Option<Initialized> {
        self.initialized
    }

    /// Returns what governs the session: the oldest profile until it is initialized.
    #[must_use]
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Returns why the session is closed, if it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Closed(reason) => Some(reason),
            Phase::New | Phase::Initializing { .. } | Phase::Live => None,
        }
    }

    /// Returns whether connections are sent priming events.
    fn uses_priming(&self) -> bool {
        match self.config.priming {
            Priming::ByRevision => self.initialized.is_some() && self.profile().priming,
            Priming::Always => true,
            Priming::Never => false,
        }
    }

    /// Returns when the session closes if nothing happens; [`Instant::MAX`] is never.
    fn idle_deadline(&self) -> Instant {
        if self.is_idle() { self.idle_due } else { Instant::MAX }
    }

    fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Live)
            && self.requests.pending.is_empty()
            && self.connections.len() == 0
    }

    /// Starts the idle time anew.
    fn reset_idle_timer(&mut self) {
        self.idle_due = self.now.max(self.retry_at).deadline_after(self.config.timeouts().idle);
    }

    /// Notes what the answer to `initialize` says.
    fn set_initialized(&mut self, initialized: Option<Initialized>) {
        self.initialized = initialized;
        self.profile = Profile::governing(initialized.and_then(|answer| answer.version));
    }

    /// Takes the next number of the session-wide sequence.
    fn next_sequence(&mut self) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.exhausted |= self.sequence >= u64::MAX - 1;
        self.sequence
    }

    /// Returns whether a connection has been sent all that its stream has, and
    /// told of all that it has not.
    fn is_at_head(&self, stream: StreamKey, connection: ConnectionKey) -> bool {
        let log = &self.streams[stream].log;
        let cursor = &self.connections[connection].cursor;
        log.ends_before(cursor.next()) && !cursor.has_gap(log.missed_through())
    }
}
