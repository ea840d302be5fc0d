//! A session behind its lock, which is only held for synchronous calls.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use rejoin_core::{
    AnswerFormat, CloseReason, ConnectionId, EventId, Head, Input, Instant, Post, Rejection,
    RequestId, StreamId,
};

use smallvec::SmallVec;

#[cfg(feature = "http")]
use super::buffer::MessagePart;
use super::{
    SessionError,
    buffer::SseEvent,
    state::{AfterUnlock, BackendExit, LogEvent, SessionState, UnusedSession},
};
use crate::{
    SessionId,
    backend::{BackendQueue, ClientMessages, QueuePermits, QueueTimeout},
    log,
    manager::{PeerPermit, Shared, WeakPermit},
    message,
    sync::{Mutex, oneshot},
};

/// A session, with all that its actions need.
#[derive(Debug)]
pub(crate) struct SessionInner {
    id: SessionId,
    shared: Arc<Shared>,
    queue: BackendQueue,
    /// Bytes of client messages that the backend has not received yet.
    #[cfg(feature = "http")]
    request_memory: Arc<crate::byte_counter::ByteCounter>,
    state: Mutex<SessionState>,
    this: Weak<SessionInner>,
}

/// Limits of one read from a connection. At least one event is read if it is not larger than
/// `event_bytes`, even if it exceeds `bytes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimits {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) event_bytes: usize,
}

/// What a session needs to know of the requests of a POST once they are accepted.
#[derive(Debug, Default)]
struct PostRequests {
    /// Whether any of them counts as use of the session.
    use_session: bool,
    /// Ids of those that get a timeout.
    with_timeout: SmallVec<[RequestId; 1]>,
}

/// The result of every operation on a session that has panicked.
const PANICKED: Rejection = Rejection::Closed(CloseReason::Cancelled);

/// Backpressure on a sender that is held: ready when the reader of the stream has caught up.
pub(crate) type ReleaseReceiver = oneshot::Receiver<()>;

impl SessionInner {
    /// Creates a session, and the messages for its backend.
    pub(crate) fn create(
        id: SessionId,
        shared: Arc<Shared>,
        permit: WeakPermit,
    ) -> (Arc<Self>, ClientMessages) {
        let mut client_messages = None;
        let session = Arc::new_cyclic(|this: &Weak<Self>| {
            // The most that can be due at a time, so that only a backend that does not read its
            // messages exceeds it.
            let session_messages_max = shared
                .session_config
                .server_requests_max
                .saturating_add(shared.session_config.pending_requests_max);
            let queue_max = shared.config.queue_max;
            let (queue, messages) =
                BackendQueue::new(queue_max, session_messages_max, Weak::clone(this), permit);
            client_messages = Some(messages);
            let now = shared.clock.now();
            #[cfg_attr(not(feature = "journal"), expect(unused_mut, reason = "for the recorder"))]
            let mut state = SessionState::new(shared.session_config.clone(), now, queue.clone());
            #[cfg(feature = "journal")]
            if let Some(journal) = &shared.journal {
                state.recorder = Some(journal.recorder(id, &shared.session_config, now));
            }
            Self {
                id,
                shared,
                queue,
                #[cfg(feature = "http")]
                request_memory: Arc::default(),
                state: Mutex::new(state),
                this: Weak::clone(this),
            }
        });
        session.with_session((), |_, _| ());
        #[expect(clippy::expect_used, reason = "the closure above has run")]
        let client_messages = client_messages.expect("`new_cyclic` calls its closure");
        (session, client_messages)
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    #[cfg(feature = "http")]
    pub(crate) fn request_memory(&self) -> &Arc<crate::byte_counter::ByteCounter> {
        &self.request_memory
    }

    pub(crate) fn batch_max(&self) -> usize {
        self.shared.session_config.batch_max
    }

    /// Returns the maximum nesting depth of the JSON of a message.
    pub(crate) fn json_depth_max(&self) -> usize {
        self.shared.config.json_depth_max
    }

    /// Returns whether this request of the client is pending.
    #[cfg(feature = "stdio")]
    pub(crate) fn is_pending(&self, request: &RequestId) -> bool {
        self.state.lock().core.is_unanswered(request)
    }

    /// Returns the pending request of the client, if there is exactly one.
    #[cfg(feature = "stdio")]
    pub(crate) fn sole_pending_request(&self) -> Option<RequestId> {
        self.state.lock().core.sole_unanswered().cloned()
    }

    /// Returns the result of `initialize`, once there is one.
    pub(crate) fn initialized(&self) -> Option<rejoin_core::Initialized> {
        self.state.lock().core.initialized()
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.state.lock().core.close_reason()
    }

    /// Returns the stream of a pending request of the client.
    pub(crate) fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        self.state.lock().core.stream_of(request)
    }

    pub(crate) fn stream_on(&self, connection: ConnectionId) -> Option<StreamId> {
        self.state.lock().core.stream_on(connection)
    }

    /// Waits for space in the backend's queue for the messages of a POST.
    pub(crate) async fn reserve_queue(
        &self,
        post: &Post<Bytes>,
    ) -> Result<QueuePermits<'_>, QueueTimeout> {
        self.queue.reserve(post.messages().len(), self.shared.config.queue_timeout).await
    }

    /// Marks the session as unused, and counts it for the address of its client.
    pub(crate) fn mark_unused(&self, peer_permit: Option<PeerPermit>) {
        self.with_session((), |state, _| {
            // If it is closed, `cancel_deadlines` may have been called already.
            if state.core.close_reason().is_none() {
                state.peer_permit = peer_permit;
                let number = self.shared.unused.add(&self.this);
                let deadline = self.unused_deadline();
                state.unused = Some(UnusedSession { number, deadline });
            }
        });
    }

    /// Closes the session if it is initialized but unused, and has no connection. Returns whether
    /// it did.
    pub(crate) fn close_if_unused(&self) -> bool {
        self.with_session(true, |state, after_unlock| {
            let is_closable = state.unused.is_some() && is_disconnected(state);
            if is_closable {
                let input = Input::CloseSession { reason: CloseReason::Idle };
                let _ = state.handle(self.shared.clock.now(), input, None, after_unlock);
            }
            is_closable
        })
    }

    fn unused_deadline(&self) -> Instant {
        let timeout = self.shared.config.unused_timeout;
        timeout.map_or(Instant::MAX, |timeout| self.shared.clock.now().saturating_add(timeout))
    }

    /// Closes the session if it has been unused for too long and has no connection.
    fn on_unused_deadline(&self, now: Instant) {
        let is_due = self.with_session(false, |state, _| {
            let deadline = self.unused_deadline();
            let is_disconnected = is_disconnected(state);
            let unused = state.unused.as_mut().filter(|unused| unused.deadline <= now);
            let is_due = unused.is_some();
            if let Some(unused) = unused.filter(|_| !is_disconnected) {
                unused.deadline = deadline;
            }
            is_due && is_disconnected
        });
        if is_due {
            self.close_if_unused();
        }
    }

    /// Updates the session after requests were accepted.
    fn on_accepted(&self, state: &mut SessionState, now: Instant, requests: &PostRequests) {
        if requests.use_session
            && state.core.initialized().is_some()
            && let Some(unused) = state.unused.take()
        {
            self.shared.unused.remove(unused.number);
        }
        if let Some(timeout) = self.shared.config.request_timeout {
            state.start_request_timeouts(&requests.with_timeout, now.saturating_add(timeout));
        }
    }

    /// Reserves a connection for a later request.
    pub(crate) fn reserve(&self) -> Result<ConnectionId, Rejection> {
        self.connect(None, &PostRequests::default(), |connection| Input::Reserve { connection })
    }

    /// Handles a POST with a request, on a new connection.
    pub(crate) fn request(
        &self,
        post: Post<Bytes>,
        format: AnswerFormat,
        permits: &mut QueuePermits<'_>,
    ) -> Result<ConnectionId, Rejection> {
        if let Some(client) = message::client_name(&post) {
            self.with_session((), |state, _| state.client = Some(client));
        }
        let requests = self.post_requests(&post);
        let input = |connection| Input::Post { connection, format, post };
        self.connect(Some(permits), &requests, input)
    }

    /// Handles a POST with a request, on a connection that was reserved.
    pub(crate) fn request_on(
        &self,
        connection: ConnectionId,
        post: Post<Bytes>,
        format: AnswerFormat,
        permits: &mut QueuePermits<'_>,
    ) -> Result<(), SessionError> {
        let requests = self.post_requests(&post);
        let input = Input::Post { connection, format, post };
        self.with_session(Err(PANICKED.into()), |state, after_unlock| {
            if !state.is_connected(connection) {
                return Err(SessionError::NotReserved);
            }
            state.check_backend()?;
            let now = self.shared.clock.now();
            state.handle(now, input, Some(permits), after_unlock)?;
            self.on_accepted(state, now, &requests);
            Ok(())
        })
    }

    /// Extracts what the session needs to know of a POST once it is accepted.
    fn post_requests(&self, post: &Post<Bytes>) -> PostRequests {
        let use_session = message::uses_session(post);
        if self.shared.config.request_timeout.is_none() {
            return PostRequests { use_session, with_timeout: SmallVec::new() };
        }
        let ids = post.messages().iter().filter_map(|message| match &message.head {
            Head::Request { id, .. } => Some(id.clone()),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        });
        PostRequests { use_session, with_timeout: ids.collect() }
    }

    /// Handles a POST without a request.
    pub(crate) fn notify(
        &self,
        post: Post<Bytes>,
        permits: &mut QueuePermits<'_>,
    ) -> Result<(), Rejection> {
        debug_assert!(!post.has_request(), "a POST with a request has a connection");
        self.with_session(Err(PANICKED), |state, after_unlock| {
            let connection = ConnectionId(state.next_connection_id);
            let input = Input::Post { connection, format: AnswerFormat::Json, post };
            state.check_backend()?;
            state.handle(self.shared.clock.now(), input, Some(permits), after_unlock)
        })
    }

    /// Handles a GET.
    pub(crate) fn get(&self, last_event_id: Option<EventId>) -> Result<ConnectionId, Rejection> {
        let connection = self.connect(None, &PostRequests::default(), |connection| Input::Get {
            connection,
            last_event_id,
        })?;
        if let Some(id) = last_event_id {
            self.with_session((), |state, after_unlock| {
                after_unlock.log_events.push(state.resumed_event(id));
            });
        }
        Ok(connection)
    }

    /// Handles a message of the backend. Returns the backpressure on its sender.
    ///
    /// If the message is rejected, the backend gets what `error_response` returns, before any
    /// later message of the client.
    pub(crate) fn handle_backend_message(
        &self,
        input: Input<Bytes>,
        error_response: impl FnOnce(&Rejection) -> Option<Bytes>,
    ) -> Result<Option<ReleaseReceiver>, Rejection> {
        self.with_session(Err(PANICKED), |state, after_unlock| {
            state.check_backend()?;
            match state.handle(self.shared.clock.now(), input, None, after_unlock) {
                Err(rejection) => {
                    if let Some(response) = error_response(&rejection) {
                        state.send_to_backend(response, after_unlock);
                    }
                    Err(rejection)
                }
                Ok(()) => Ok(after_unlock.held_by.take().map(|stream| {
                    let (sender, released) = oneshot::channel();
                    state.held_senders.retain(|(_, sender)| !sender.is_closed());
                    state.held_senders.push((stream, sender));
                    released
                })),
            }
        })
    }

    /// Queues a message of the session itself for the backend.
    #[cfg(feature = "stdio")]
    pub(crate) fn send_to_backend(&self, message: Bytes) {
        self.with_session((), |state, after_unlock| state.send_to_backend(message, after_unlock));
    }

    pub(crate) fn disconnect(
        &self,
        stream: StreamId,
        retry: Option<Duration>,
    ) -> Result<(), Rejection> {
        self.apply(Input::Disconnect { stream, retry })
    }

    /// Handles an input that forwards no message.
    pub(crate) fn apply(&self, input: Input<Bytes>) -> Result<(), Rejection> {
        self.with_session(Err(PANICKED), |state, after_unlock| {
            state.handle(self.shared.clock.now(), input, None, after_unlock)
        })
    }

    /// Handles an input that only a closed session rejects; the rejection is ignored.
    pub(crate) fn apply_unless_closed(&self, input: Input<Bytes>) {
        let _ = self.apply(input);
    }

    /// Handles the end of the backend, with its reason if it gave one. The session accepts no new
    /// messages, and is closed when its connections have sent what the backend had sent before.
    pub(crate) fn on_backend_closed(&self, reason: Option<String>) {
        self.with_session((), |state, _| {
            // Keeps the first reason: `ClientMessages::close` also drops them, without a reason.
            state.backend_exit.get_or_insert_with(|| Box::new(BackendExit { reason }));
        });
    }

    /// Handles a deadline: the deadline queue has removed the entry for `due`.
    pub(crate) fn on_deadline(&self, due: Instant) {
        self.with_session((), |state, after_unlock| {
            state.scheduled.take_if(|scheduled| *scheduled == due);
            let now = self.shared.clock.now();
            let _ = state.handle(now, Input::Tick, None, after_unlock);
            if let Some(timeout) = self.shared.config.request_timeout {
                let message = format!("the server did not answer within {timeout:?}");
                state.time_out_requests(now, &message, after_unlock);
            }
        });
        self.on_unused_deadline(due);
    }

    /// Moves events from the buffer of a connection to `out`. Returns whether there can be more,
    /// pending if there are none yet. Stops at an event that is larger than the limit.
    pub(crate) fn poll_events(
        &self,
        connection: ConnectionId,
        through: &mut Option<u64>,
        out: &mut Vec<SseEvent>,
        limits: ReadLimits,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        self.with_session(Poll::Ready(false), |state, after_unlock| {
            let Some(buffer) = state.buffers.get_mut(connection) else {
                return Poll::Ready(false);
            };
            let (mut acknowledged, mut bytes) = (None, 0);
            let before = out.len();
            while out.len() - before < limits.events && bytes < limits.bytes {
                let Some((event, index)) = buffer.pop(limits.event_bytes) else { break };
                bytes += event.bytes();
                out.push(event);
                acknowledged = index.or(acknowledged);
            }
            *through = acknowledged.or(*through);
            let now = self.shared.clock.now();
            if buffer.is_finished() {
                state.buffers.remove(connection);
                let input = Input::ConnectionClosed { connection, through: *through };
                let _ = state.handle(now, input, None, after_unlock);
                return Poll::Ready(false);
            }
            if buffer.is_empty() && out.len() == before {
                buffer.register_waker(cx.waker());
                return Poll::Pending;
            }
            if let Some(through) = acknowledged {
                let _ = state.handle(
                    now,
                    Input::Acknowledged { connection, through },
                    None,
                    after_unlock,
                );
            }
            Poll::Ready(true)
        })
    }

    /// Returns the next part of the next message of a connection. Each part shows the session that
    /// its reader makes progress; the last one acknowledges the message.
    #[cfg(feature = "http")]
    pub(crate) fn take_part(
        &self,
        connection: ConnectionId,
        through: &mut Option<u64>,
        bytes_max: usize,
    ) -> Option<MessagePart> {
        self.with_session(None, |state, after_unlock| {
            let (part, index) = state.buffers.get_mut(connection)?.pop_part(bytes_max)?;
            *through = index.or(*through);
            let input = Input::Acknowledged { connection, through: through.unwrap_or(0) };
            let _ = state.handle(self.shared.clock.now(), input, None, after_unlock);
            Some(part)
        })
    }

    /// Handles a connection that was dropped.
    pub(crate) fn on_connection_dropped(&self, connection: ConnectionId, through: Option<u64>) {
        self.with_session((), |state, after_unlock| {
            if let Some(buffer) = state.buffers.remove(connection) {
                if !buffer.is_closed()
                    && let Some(stream) = state.core.stream_on(connection)
                {
                    after_unlock.log_events.push(LogEvent::ConnectionLost {
                        connection,
                        stream,
                        through,
                    });
                }
                let input = Input::ConnectionClosed { connection, through };
                let _ = state.handle(self.shared.clock.now(), input, None, after_unlock);
            }
        });
    }

    /// Returns whether new requests are refused for a shutdown.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.drain.retry().is_some()
    }

    /// Closes the session, if sessions are being drained and it has no pending requests, or
    /// responses to send.
    pub(crate) fn close_if_drained(&self) {
        self.with_session((), |_, _| ());
    }

    /// Sets the process that serves the session, for the log.
    #[cfg(feature = "stdio")]
    pub(crate) fn set_process(&self, process: i32) {
        self.with_session((), |state, _| state.process = Some(process));
    }

    /// Opens a connection by an input. Its buffer is added first, for events that are sent at once.
    fn connect(
        &self,
        permits: Option<&mut QueuePermits<'_>>,
        requests: &PostRequests,
        input: impl FnOnce(ConnectionId) -> Input<Bytes>,
    ) -> Result<ConnectionId, Rejection> {
        let is_request = permits.is_some();
        self.with_session(Err(PANICKED), |state, after_unlock| {
            if is_request {
                state.check_backend()?;
            }
            let connection = ConnectionId(state.next_connection_id);
            state.next_connection_id = state.next_connection_id.saturating_add(1);
            state.buffers.insert(connection);
            let now = self.shared.clock.now();
            let result = state.handle(now, input(connection), permits, after_unlock);
            match result {
                Ok(()) => self.on_accepted(state, now, requests),
                Err(_) => state.buffers.remove(connection).into_iter().for_each(drop),
            }
            result.map(|()| connection)
        })
    }

    /// Calls `f` under the lock, updates the deadline queue, and then does without the lock what
    /// must not be done under it.
    ///
    /// A panic of the core leaves its state inconsistent. The session is then closed, and
    /// `on_panic` is returned.
    fn with_session<R>(
        &self,
        on_panic: R,
        f: impl FnOnce(&mut SessionState, &mut AfterUnlock) -> R,
    ) -> R {
        let mut after_unlock = AfterUnlock::default();
        let result = {
            let mut state = self.state.lock();
            let run = || {
                let result = f(&mut state, &mut after_unlock);
                if state.backend_exit.is_some() {
                    state.close_if_backend_exited(self.shared.clock.now(), &mut after_unlock);
                }
                if let Some(retry) = self.shared.drain.retry() {
                    state.close_if_drained(self.shared.clock.now(), retry, &mut after_unlock);
                }
                result
            };
            let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                log::panicked(self.id);
                state.replace_panicked(
                    &self.shared.session_config,
                    self.shared.clock.now(),
                    &mut after_unlock,
                );
                on_panic
            });
            self.schedule(&mut state);
            result
        };
        self.run_after_unlock(after_unlock);
        result
    }

    /// Schedules the next deadline of this session. A wake-up that is too early is harmless.
    fn schedule(&self, state: &mut SessionState) {
        let scheduled = state.scheduled.unwrap_or(Instant::MAX);
        let deadline = state.core.deadline_before(scheduled).unwrap_or(scheduled);
        let deadline = state.request_deadline().map_or(deadline, |request| request.min(deadline));
        let unused = state.unused.as_ref().map(|unused| unused.deadline);
        let deadline = unused.map_or(deadline, |unused| unused.min(deadline));
        if deadline < scheduled {
            self.shared.deadlines.schedule(self.id, state.scheduled, deadline, &self.this);
            state.scheduled = Some(deadline);
        }
    }

    fn run_after_unlock(&self, after_unlock: AfterUnlock) {
        let AfterUnlock {
            wakers,
            released_senders,
            held_by: _,
            opened,
            log_events,
            run_handler,
            backend_not_reading,
            closed,
            exit_reason: _,
        } = after_unlock;
        wakers.into_iter().for_each(std::task::Waker::wake);
        drop(released_senders);
        if let Some(opened) = &opened {
            log::opened(self.id, opened);
        }
        for event in &log_events {
            log::event(self.id, event);
        }
        if let Some(closed) = closed {
            self.queue.signal_session_ended();
            log::closed(self.id, &closed);
            self.shared.remove(self);
        } else if backend_not_reading {
            log::backend_not_reading(self.id);
            self.apply_unless_closed(Input::BackendGone);
        }
        if run_handler {
            self.queue.run_handler();
        }
    }

    /// Removes the session from the deadline queue and the unused sessions, once it is closed.
    pub(crate) fn cancel_deadlines(&self) {
        let mut state = self.state.lock();
        if let Some(scheduled) = state.scheduled.take() {
            self.shared.deadlines.cancel(self.id, scheduled);
        }
        if let Some(unused) = state.unused.take() {
            self.shared.unused.remove(unused.number);
        }
        state.peer_permit = None;
    }
}

/// Returns whether the session is initialized and has no connection.
fn is_disconnected(state: &SessionState) -> bool {
    state.core.initialized().is_some() && state.buffers.is_empty()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::{Backend, ClientSender, ManagerConfig, OpenError, SessionManager};

    /// A backend that never answers.
    struct NeverAnswers;

    impl Backend for NeverAnswers {
        async fn open(
            &self,
            _: ClientSender,
            mut messages: ClientMessages,
        ) -> Result<(), OpenError> {
            tokio::spawn(async move { while messages.recv().await.is_some() {} });
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_session_that_panics_is_closed_without_effect_on_others() {
        let sessions = SessionManager::new(NeverAnswers, ManagerConfig::default()).unwrap();
        let panicked = sessions.create_session().await.unwrap();
        let other = sessions.create_session().await.unwrap();
        let initialize = || {
            let text = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
            message::parse_message(Bytes::from_static(text.as_bytes()), 1).unwrap()
        };
        let waiting = panicked.request(initialize(), AnswerFormat::Sse).await.unwrap();
        let inner = sessions.shared().find(panicked.id()).unwrap();
        let outcome = inner.with_session(Err(PANICKED), |_, _| -> Result<(), Rejection> {
            panic!("a fault of the core")
        });
        assert_eq!(outcome, Err(PANICKED));
        // Dropping a connection calls the session again.
        drop(waiting);
        assert_eq!(panicked.close_reason(), Some(CloseReason::Cancelled));
        assert!(panicked.request(initialize(), AnswerFormat::Sse).await.is_err());
        inner.on_deadline(Instant::MAX);
        assert!(!sessions.has_session(panicked.id()));
        assert_eq!(sessions.sessions(), 1);
        assert!(other.request(initialize(), AnswerFormat::Sse).await.is_ok());
    }
}
