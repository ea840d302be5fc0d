//! The state behind the lock of a session: the core, and what its actions change.

use std::{task::Waker, time::Duration};

use bytes::Bytes;
use rejoin_core::{
    Action, Actions, CloseReason, ConnectionId, EndReason, Event, EventId, Head, Input, Instant,
    ProtocolVersion, Rejection, Report, RequestId, Session, StreamId, ValidConfig,
};
use smallvec::SmallVec;

use super::{
    buffer::SseEvent,
    buffers::ConnectionBuffers,
    request_timeouts::{RequestTimeouts, TimedRequest},
};
#[cfg(feature = "journal")]
use crate::journal::Recorder;
use crate::{
    backend::{BackendQueue, QueueFull, QueuePermits},
    log,
    manager::PeerPermit,
    message, render,
    sync::oneshot,
};

#[derive(Debug)]
pub(super) struct SessionState {
    pub(super) core: Session<Bytes>,
    pub(super) queue: BackendQueue,
    /// One for each connection with an HTTP body: at most `connections_max`, and those that the
    /// core has cut and whose body was not polled since.
    pub(super) buffers: ConnectionBuffers,
    /// Senders that are held, with the stream that holds them.
    pub(super) held_senders: Vec<(StreamId, oneshot::Sender<()>)>,
    pub(super) next_connection_id: u64,
    /// `None` before the first request that has a timeout.
    request_timeouts: Option<Box<RequestTimeouts>>,
    /// The deadline at which the deadline queue will wake this session.
    pub(super) scheduled: Option<Instant>,
    /// Name and version of the client, until the session is opened.
    pub(super) client: Option<Box<str>>,
    /// The process that serves the session, if there is one.
    pub(super) process: Option<i32>,
    /// Whether the session was initialized.
    is_opened: bool,
    /// Number of progress notifications that were dropped for an unknown token.
    progress_dropped: u32,
    /// `None` once the client has used the session.
    pub(super) unused: Option<UnusedSession>,
    /// Set when the backend has ended, while its messages are still being sent.
    pub(super) backend_exit: Option<Box<BackendExit>>,
    /// Counts the session for the address of its client.
    pub(super) peer_permit: Option<PeerPermit>,
    #[cfg(feature = "journal")]
    pub(super) recorder: Option<Recorder>,
}

/// The end of a backend.
#[derive(Debug)]
pub(super) struct BackendExit {
    /// The reason, if the backend gave one.
    pub(super) reason: Option<String>,
}

/// The state of a session whose client has only sent `initialize` and `ping` requests.
#[derive(Debug)]
pub(super) struct UnusedSession {
    /// The number that the manager knows it by.
    pub(super) number: u64,
    /// When the session is closed, unless it has a connection then.
    pub(super) deadline: Instant,
}

/// What must be done after the lock is released.
#[derive(Debug, Default)]
pub(super) struct AfterUnlock {
    pub(super) wakers: SmallVec<[Waker; 2]>,
    pub(super) released_senders: SmallVec<[oneshot::Sender<()>; 1]>,
    /// The stream for whose release the sender of the last message must wait.
    pub(super) held_by: Option<StreamId>,
    pub(super) opened: Option<SessionOpened>,
    pub(super) log_events: SmallVec<[LogEvent; 1]>,
    /// Whether the backend's queue has a message, or was closed.
    pub(super) run_handler: bool,
    /// Whether the backend does not read the session's messages.
    pub(super) backend_not_reading: bool,
    pub(super) closed: Option<SessionClosed>,
    /// Why the backend ended, if it gave a reason.
    pub(super) exit_reason: Option<String>,
}

/// The end of a session, for the log.
#[derive(Debug)]
pub(crate) struct SessionClosed {
    pub(crate) reason: CloseReason,
    /// Whether it was initialized before.
    pub(crate) was_opened: bool,
    /// Number of progress notifications that were dropped for an unknown token.
    pub(crate) progress_dropped: u32,
}

/// The beginning of a session, for the log.
#[derive(Debug)]
pub(crate) struct SessionOpened {
    pub(crate) client: Option<Box<str>>,
    pub(crate) revision: Option<ProtocolVersion>,
    pub(crate) process: Option<i32>,
}

/// An event in a session that is logged.
#[derive(Debug)]
pub(crate) enum LogEvent {
    Report(Report),
    Gap {
        stream: StreamId,
        first: u64,
        last: u64,
    },
    ConnectionClosed {
        connection: ConnectionId,
        reason: EndReason,
    },
    /// A client disconnected before the end of a stream.
    ConnectionLost {
        connection: ConnectionId,
        stream: StreamId,
        through: Option<u64>,
    },
    /// A client resumed a stream.
    Resumed {
        stream: StreamId,
        after: u64,
        replayed: usize,
    },
    RequestTimedOut {
        request: RequestId,
    },
}

impl AfterUnlock {
    fn wake(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.wakers.push(waker);
        }
    }
}

impl SessionState {
    pub(super) fn new(config: ValidConfig, now: Instant, queue: BackendQueue) -> Self {
        Self {
            core: Session::new(config, now),
            queue,
            buffers: ConnectionBuffers::default(),
            held_senders: Vec::new(),
            next_connection_id: 0,
            request_timeouts: None,
            scheduled: None,
            client: None,
            process: None,
            is_opened: false,
            progress_dropped: 0,
            unused: None,
            backend_exit: None,
            peer_permit: None,
            #[cfg(feature = "journal")]
            recorder: None,
        }
    }

    /// Handles one input, and runs its actions. `permits` are for messages that it forwards.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        input: Input<Bytes>,
        permits: Option<&mut QueuePermits<'_>>,
        after_unlock: &mut AfterUnlock,
    ) -> Result<(), Rejection> {
        #[cfg(feature = "journal")]
        if let Some(recorder) = &mut self.recorder
            && self.core.close_reason().is_none()
        {
            recorder.record(now, &input);
        }
        let mut actions = Actions::new();
        let result = self.core.handle(now, input, &mut actions);
        // Also if the input was rejected: timers that were due have fired.
        self.run_actions(&mut actions, permits, after_unlock);
        if !self.is_opened
            && let Some(initialized) = self.core.initialized()
        {
            self.is_opened = true;
            let (client, process) = (self.client.take(), self.process);
            after_unlock.opened =
                Some(SessionOpened { client, revision: initialized.version, process });
        }
        result
    }

    /// Starts the timeouts of requests that were accepted.
    pub(super) fn start_request_timeouts(&mut self, ids: &[RequestId], due: Instant) {
        let core = &self.core;
        let prune_at = core.config().pending_requests_max.saturating_mul(2);
        for id in ids {
            if let Some(stream) = core.stream_of(id) {
                let request = TimedRequest { deadline: due, stream, id: id.clone() };
                let is_pending =
                    |request: &TimedRequest| core.stream_of(&request.id) == Some(request.stream);
                self.request_timeouts.get_or_insert_default().add(request, prune_at, is_pending);
            }
        }
    }

    /// Returns the earliest deadline of a request.
    pub(super) fn request_deadline(&self) -> Option<Instant> {
        self.request_timeouts.as_ref()?.deadline()
    }

    /// Fails the requests that have timed out, and sends the backend a cancellation for each.
    pub(super) fn time_out_requests(
        &mut self,
        now: Instant,
        error_message: &str,
        after_unlock: &mut AfterUnlock,
    ) {
        while let Some(timeouts) = &mut self.request_timeouts
            && let Some(TimedRequest { stream, id, .. }) = timeouts.pop_due(now)
        {
            if self.core.stream_of(&id) != Some(stream) {
                continue;
            }
            after_unlock.log_events.push(LogEvent::RequestTimedOut { request: id.clone() });
            self.send_to_backend(render::cancellation(&id), after_unlock);
            let error = render::error(Some(&id), render::INTERNAL_ERROR, error_message);
            let message = message::with_head(Head::Error { id: Some(id) }, error);
            // Only rejected if the session is closed.
            let _ = self.handle(
                now,
                Input::BackendMessage { message, related: None },
                None,
                after_unlock,
            );
        }
    }

    /// Closes the session for a shutdown, unless it has pending requests, or responses to send.
    pub(super) fn close_if_drained(
        &mut self,
        now: Instant,
        retry: Duration,
        after_unlock: &mut AfterUnlock,
    ) {
        if self.core.close_reason().is_some() || self.is_busy() {
            return;
        }
        let close = Input::Disconnect { stream: StreamId::Standalone, retry: Some(retry) };
        // An error means that there is no connection whose client could resume.
        let _ = self.handle(now, close, None, after_unlock);
        let close = Input::CloseSession { reason: CloseReason::ServerShutdown };
        let _ = self.handle(now, close, None, after_unlock);
    }

    /// Closes the session after its backend has ended, once no connection has events to send. A
    /// reader that stalls is disconnected after `stall_disconnect_timeout`.
    pub(super) fn close_if_backend_exited(&mut self, now: Instant, after_unlock: &mut AfterUnlock) {
        let has_backlog = |connection| self.core.has_backlog(connection);
        if self.core.connections().any(has_backlog) {
            return;
        }
        after_unlock.exit_reason = self.backend_exit.take().and_then(|exit| exit.reason);
        // Only rejected if the session is closed.
        let _ = self.handle(now, Input::BackendGone, None, after_unlock);
    }

    /// Returns an error if the backend has ended.
    pub(super) fn check_backend(&self) -> Result<(), Rejection> {
        match self.backend_exit {
            Some(_) => Err(Rejection::Closed(CloseReason::BackendGone)),
            None => Ok(()),
        }
    }

    /// Returns whether a request is pending, or its response is being sent.
    fn is_busy(&self) -> bool {
        let is_request =
            |connection| matches!(self.core.stream_on(connection), Some(StreamId::Request(_)));
        self.core.initialized().is_some()
            && (self.core.pending_requests() > 0 || self.core.connections().any(is_request))
    }

    /// Replaces a core that has panicked with one that is closed, so that its state is not used
    /// again.
    pub(super) fn replace_panicked(
        &mut self,
        config: &ValidConfig,
        now: Instant,
        after_unlock: &mut AfterUnlock,
    ) {
        self.core = Session::new(config.clone(), now);
        #[cfg(feature = "journal")]
        {
            self.recorder = None;
        }
        let close = Input::CloseSession { reason: CloseReason::Cancelled };
        let _ = self.handle(now, close, None, after_unlock);
    }

    /// Returns the log event for a client that resumed after `id`.
    pub(super) fn resumed_event(&self, id: EventId) -> LogEvent {
        let (stream, after) = (id.stream, id.index);
        let log = self.core.log(stream);
        let replayed = log.map_or(0, |log| log.range(after.saturating_add(1)..u64::MAX).count());
        LogEvent::Resumed { stream, after, replayed }
    }

    /// Returns whether a connection is open.
    pub(super) fn is_connected(&self, connection: ConnectionId) -> bool {
        self.buffers.get(connection).is_some_and(|buffer| !buffer.is_closed())
    }

    fn run_actions(
        &mut self,
        actions: &mut Actions<Bytes>,
        mut permits: Option<&mut QueuePermits<'_>>,
        after_unlock: &mut AfterUnlock,
    ) {
        let (close_reason, exit_reason) =
            (self.core.close_reason(), after_unlock.exit_reason.take());
        let event_of = |id, event| event_of(id, event, close_reason, exit_reason.as_deref());
        for action in actions.drain() {
            match action {
                Action::Forward { message } => {
                    if let Some(permits) = permits.as_deref_mut() {
                        after_unlock.wake(self.queue.forward(message, permits));
                        after_unlock.run_handler = true;
                    }
                }
                Action::Send { connection, index, id, event } => {
                    self.push_event(connection, event_of(id, event), Some(index), after_unlock);
                }
                Action::Gap { connection, stream, missed } => {
                    let (first, last) = (*missed.start(), *missed.end());
                    after_unlock.log_events.push(LogEvent::Gap { stream, first, last });
                    let has_logging = self.core.initialized().is_some_and(|result| result.logging);
                    let notification =
                        has_logging.then(|| render::gap_notification(stream, &missed));
                    self.push_event(
                        connection,
                        SseEvent::Gap { missed, notification },
                        None,
                        after_unlock,
                    );
                }
                Action::Discard { connection } => {
                    if let Some(buffer) = self.buffers.get_mut(connection) {
                        after_unlock.wake(buffer.discard());
                    }
                }
                Action::Close { connection, reason } => {
                    if !reason.drains() || log::logs_closed_connections() {
                        after_unlock
                            .log_events
                            .push(LogEvent::ConnectionClosed { connection, reason });
                    }
                    if let Some(buffer) = self.buffers.get_mut(connection) {
                        after_unlock.wake(buffer.close(reason));
                    }
                }
                Action::FailServerRequest { id, reason } => {
                    self.send_to_backend(render::server_request_error(&id, reason), after_unlock);
                }
                Action::CancelRequest { id } => {
                    self.send_to_backend(render::cancellation(&id), after_unlock);
                }
                Action::Hold { stream } => after_unlock.held_by = Some(stream),
                Action::Release { stream } => {
                    let released =
                        self.held_senders.extract_if(.., |(held_by, _)| *held_by == stream);
                    after_unlock.released_senders.extend(released.map(|(_, sender)| sender));
                }
                Action::SessionClosed { reason } => {
                    after_unlock.wake(self.queue.close());
                    after_unlock.run_handler = true;
                    for buffer in self.buffers.iter_mut() {
                        after_unlock.wake(buffer.close(EndReason::SessionClosed));
                    }
                    after_unlock
                        .released_senders
                        .extend(self.held_senders.drain(..).map(|(_, sender)| sender));
                    let (was_opened, progress_dropped) = (self.is_opened, self.progress_dropped);
                    after_unlock.closed =
                        Some(SessionClosed { reason, was_opened, progress_dropped });
                }
                Action::Report(report) => {
                    if matches!(report, Report::UnknownProgressToken { .. }) {
                        self.progress_dropped = self.progress_dropped.saturating_add(1);
                    }
                    after_unlock.log_events.push(LogEvent::Report(report));
                }
            }
        }
    }

    /// Queues a message of the session itself for the backend.
    pub(super) fn send_to_backend(&self, message: Bytes, after_unlock: &mut AfterUnlock) {
        after_unlock.run_handler = true;
        match self.queue.push_session_message(message) {
            Ok(waker) => after_unlock.wakers.extend(waker),
            Err(QueueFull) => after_unlock.backend_not_reading = true,
        }
    }

    fn push_event(
        &mut self,
        connection: ConnectionId,
        event: SseEvent,
        index: Option<u64>,
        after_unlock: &mut AfterUnlock,
    ) {
        if let Some(buffer) = self.buffers.get_mut(connection) {
            after_unlock.wake(buffer.push(event, index));
        }
    }
}

fn event_of(
    id: Option<EventId>,
    event: Event<Bytes>,
    close_reason: Option<CloseReason>,
    exit_reason: Option<&str>,
) -> SseEvent {
    match event {
        Event::Message(data) => SseEvent::Message { id, data },
        Event::Failure(failure) => {
            SseEvent::Message { id, data: render::failure(&failure, close_reason, exit_reason) }
        }
        Event::Priming { retry } => SseEvent::Priming { id, retry },
    }
}
