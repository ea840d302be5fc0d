//! What the lock of a session guards: the core, and what its actions are done to.

use std::{task::Waker, time::Duration};

use bytes::Bytes;
use rejoin_core::{
    Action, Actions, Backpressure, CloseReason, ConnectionId, EndReason, Event, EventId, Head,
    Input, Instant, ProtocolVersion, Rejection, Report, RequestId, Session, StreamId, ValidConfig,
};
use smallvec::SmallVec;

use super::{
    buffer::SseEvent,
    buffers::ConnectionBuffers,
    request_timeouts::{Request, TimedRequest},
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
    /// Of every connection that has an HTTP body: at most `connections_max`, and those
    /// that the core has cut and whose body has not noticed yet.
    pub(super) buffers: ConnectionBuffers,
    /// Senders that wait, by the stream that holds them up.
    pub(super) held_senders: Vec<(StreamId, oneshot::Sender<()>)>,
    pub(super) next_connection_id: u64,
    /// Not there before the first request that has a time limit.
    request_timeouts: Option<Box<TimedRequest>>,
    /// When the deadline queue is to wake this session.
    pub(super) scheduled: Option<Instant>,
    /// What the client says that it is, until the session is opened.
    pub(super) client: Option<Box<str>>,
    /// The process that serves the session, where one does.
    pub(super) process: Option<i32>,
    /// Whether `initialize` was answered.
    is_opened: bool,
    /// How often progress was dropped, because its request was not in progress.
    progress_dropped: u32,
    /// `None` once the client has called something.
    pub(super) unused: Option<UnusedSession>,
    /// What is known of a backend that is gone, while its answers are still being sent.
    pub(super) backend_exit: Option<Box<BackendExit>>,
    /// What counts the session for the address of its client, until it ends.
    pub(super) peer_permit: Option<PeerPermit>,
    #[cfg(feature = "journal")]
    pub(super) recorder: Option<Recorder>,
}

/// A backend that is gone.
#[derive(Debug)]
pub(super) struct BackendExit {
    /// Where it says so.
    pub(super) reason: Option<String>,
}

/// A session whose client has made no request but `initialize` and `ping`.
#[derive(Debug)]
pub(super) struct UnusedSession {
    /// By which the manager knows it.
    pub(super) number: u64,
    /// When it ends, unless it has a connection then.
    pub(super) deadline: Instant,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(super) struct AfterUnlock {
    pub(super) wakers: SmallVec<[Waker; 2]>,
    pub(super) released_senders: SmallVec<[oneshot::Sender<()>; 1]>,
    pub(super) opened: Option<SessionOpened>,
    pub(super) log_events: SmallVec<[LogEvent; 1]>,
    /// Whether there is something in the inbox of the backend, or its end.
    pub(super) run_handler: bool,
    /// Whether the backend does not hear what it asked for.
    pub(super) backend_not_reading: bool,
    pub(super) closed: Option<SessionClosed>,
    /// Why the backend is gone, where it says so.
    pub(super) exit_reason: Option<String>,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) struct SessionClosed {
    pub(crate) reason: CloseReason,
    /// Whether it was opened before.
    pub(crate) was_opened: bool,
    /// How often progress was dropped, because its request was not in progress.
    pub(crate) progress_dropped: u32,
}

/// Who begins a session, and what serves it.
#[derive(Debug)]
pub(crate) struct SessionOpened {
    pub(crate) client: Option<Box<str>>,
    pub(crate) revision: Option<ProtocolVersion>,
    pub(crate) process: Option<i32>,
}

/// What is worth a line in the log.
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
    /// A client came back, to events that it has not had.
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
    pub(super) fn new(config: ValidConfig, now: Instant, outbox: BackendQueue) -> Self {
        Self {
            core: Session::new(config, now),
            queue: outbox,
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

    /// Applies one input, and carries the actions out. `room` is for what it forwards.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        input: Input<Bytes>,
        room: Option<&mut QueuePermits<'_>>,
        after_unlock: &mut AfterUnlock,
    ) -> Result<Backpressure, Rejection> {
        #[cfg(feature = "journal")]
        if let Some(recorder) = &mut self.recorder
            && self.core.close_reason().is_none()
        {
            recorder.record(now, &input);
        }
        let mut actions = Actions::new();
        let result = self.core.handle(now, input, &mut actions);
        // Even where the input was rejected: what was due has happened.
        self.run_actions(&mut actions, room, after_unlock);
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

    /// Gives requests that were accepted a time limit.
    pub(super) fn start_request_timeouts(&mut self, ids: &[RequestId], due: Instant) {
        let core = &self.core;
        let many = core.config().pending_requests_max.saturating_mul(2);
        for id in ids {
            if let Some(stream) = core.stream_of(id) {
                let request = Request { deadline: due, stream, id: id.clone() };
                let is_pending =
                    |request: &Request| core.stream_of(&request.id) == Some(request.stream);
                self.request_timeouts.get_or_insert_default().add(request, many, is_pending);
            }
        }
    }

    /// Returns when the first request has reached its time limit.
    pub(super) fn request_deadline(&self) -> Option<Instant> {
        self.request_timeouts.as_ref()?.deadline()
    }

    /// Answers the requests that have reached their time limit with an error, and has the
    /// backend cancel them.
    pub(super) fn time_out_requests(
        &mut self,
        now: Instant,
        why: &str,
        after_unlock: &mut AfterUnlock,
    ) {
        while let Some(limits) = &mut self.request_timeouts
            && let Some(Request { stream, id, .. }) = limits.pop_due(now)
        {
            if self.core.stream_of(&id) != Some(stream) {
                continue;
            }
            after_unlock.log_events.push(LogEvent::RequestTimedOut { request: id.clone() });
            self.send_to_backend(render::cancellation(&id), after_unlock);
            let error = render::error(Some(&id), render::INTERNAL_ERROR, why);
            let message = message::with_head(Head::Error { id: Some(id) }, error);
            // Only a closed session rejects it.
            let _ = self.handle(
                now,
                Input::BackendMessage { message, related: None },
                None,
                after_unlock,
            );
        }
    }

    /// Ends the session, unless something is in flight in it.
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
        // An error says that nobody is connected who could come back.
        let _ = self.handle(now, close, None, after_unlock);
        let close = Input::CloseSession { reason: CloseReason::ServerShutdown };
        let _ = self.handle(now, close, None, after_unlock);
    }

    /// Ends the session, whose backend is gone, unless a connection has still to send what the
    /// backend said. A reader that stops is disconnected after `stall_disconnect_timeout`.
    pub(super) fn close_if_backend_exited(&mut self, now: Instant, after_unlock: &mut AfterUnlock) {
        let has_backlog = |connection| self.core.has_backlog(connection);
        if self.core.connections().any(has_backlog) {
            return;
        }
        after_unlock.exit_reason = self.backend_exit.take().and_then(|gone| gone.reason);
        // Only a closed session rejects it.
        let _ = self.handle(now, Input::BackendGone, None, after_unlock);
    }

    /// Returns an error where the backend is gone.
    pub(super) fn check_backend(&self) -> Result<(), Rejection> {
        match self.backend_exit {
            Some(_) => Err(Rejection::Closed(CloseReason::BackendGone)),
            None => Ok(()),
        }
    }

    /// Returns whether a request is in flight, or its answer is still being sent.
    fn is_busy(&self) -> bool {
        let is_request =
            |connection| matches!(self.core.stream_on(connection), Some(StreamId::Request(_)));
        self.core.initialized().is_some()
            && (self.core.pending_requests() > 0 || self.core.connections().any(is_request))
    }

    /// Gives up a core that has panicked: one that is closed takes its place, so that
    /// nothing asks the other one again.
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

    /// Returns what is to be said of a client that came back after `id`.
    pub(super) fn resumed_event(&self, id: EventId) -> LogEvent {
        let (stream, after) = (id.stream, id.index);
        let log = self.core.log(stream);
        let replayed = log.map_or(0, |log| log.range(after.saturating_add(1)..u64::MAX).count());
        LogEvent::Resumed { stream, after, replayed }
    }

    /// Returns whether something that is sent on a connection is heard.
    pub(super) fn is_connected(&self, connection: ConnectionId) -> bool {
        self.buffers.get(connection).is_some_and(|buffer| !buffer.is_closed())
    }

    /// Returns an error where the session is closed: by what the client has just said, or
    /// the client would have been told before.
    pub(super) fn check_open(&self) -> Result<(), Rejection> {
        match self.core.close_reason() {
            Some(reason) => Err(Rejection::Closed(reason)),
            None => Ok(()),
        }
    }

    fn run_actions(
        &mut self,
        actions: &mut Actions<Bytes>,
        mut room: Option<&mut QueuePermits<'_>>,
        after_unlock: &mut AfterUnlock,
    ) {
        let (closed, gone) = (self.core.close_reason(), after_unlock.exit_reason.take());
        let event_of = |id, event| event_of(id, event, closed, gone.as_deref());
        for action in actions.drain() {
            match action {
                Action::Forward { message } => {
                    if let Some(room) = room.as_deref_mut() {
                        after_unlock.wake(self.queue.forward(message, room));
                        after_unlock.run_handler = true;
                    }
                }
                Action::Send { connection, index, id, event } => {
                    self.push_event(connection, event_of(id, event), Some(index), after_unlock);
                }
                Action::Replay { connection, stream, range } => {
                    let Some(buffer) = self.buffers.get_mut(connection) else { continue };
                    for logged in self.core.replay(stream, range) {
                        let id = Some(EventId::new(stream, logged.index));
                        let event = event_of(id, logged.entry.to_event());
                        after_unlock.wake(buffer.push(event, Some(logged.index)));
                    }
                }
                Action::Gap { connection, stream, missed } => {
                    let (first, last) = (*missed.start(), *missed.end());
                    after_unlock.log_events.push(LogEvent::Gap { stream, first, last });
                    let logs = self.core.initialized().is_some_and(|answer| answer.logging);
                    let notification = logs.then(|| render::gap_notification(stream, &missed));
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
                    self.send_to_backend(render::cancellation(&id), after_unlock)
                }
                Action::Release { stream } => {
                    let released = self.held_senders.extract_if(.., |(held, _)| *held == stream);
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

    /// Hands a message of the session itself to the backend.
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
    closed: Option<CloseReason>,
    gone: Option<&str>,
) -> SseEvent {
    match event {
        Event::Message(data) => SseEvent::Message { id, data },
        Event::Failure(failure) => {
            SseEvent::Message { id, data: render::failure(&failure, closed, gone) }
        }
        Event::Priming { retry } => SseEvent::Priming { id, retry },
    }
}
