//! The queue of messages from a session to its backend.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::SessionInner;
use crate::{
    clock,
    permits::{SessionPermit, WeakPermit},
    sync::{Mutex, Semaphore, SemaphorePermit, TryAcquireError},
};

/// The JSON-RPC messages that a backend receives, one at a time.
///
/// These are the client's messages, each in one line, and messages of the session itself: a
/// `notifications/cancelled` for a request whose response is no longer needed, and an error for a
/// server request that the client will not answer.
///
/// Dropping it means that the backend has ended; [`close`](Self::close) also gives a reason. The
/// session then accepts no more requests, and ends when its connections have sent what the
/// backend had sent before.
#[derive(Debug)]
pub struct ClientMessages {
    queue: Arc<QueueInner>,
    session: Weak<SessionInner>,
    permit: WeakPermit,
    /// The first message of the client, if known, until a message is received.
    first_message: Option<Bytes>,
}

impl ClientMessages {
    /// Waits for the next message; `None` means that the session has ended.
    ///
    /// Cancel-safe: a message that was not returned stays in the queue.
    pub async fn recv(&mut self) -> Option<Bytes> {
        let message = poll_fn(|cx| self.queue.poll_next(cx)).await?;
        self.first_message = None;
        Some(self.queue.receive(message))
    }

    /// Returns a future that is ready when the session has ended, even if there are messages
    /// left to receive. It is for a backend that may be busy with one of them for a long time.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let queue = Arc::clone(&self.queue);
        // The semaphore has no permits: `acquire` only returns when it is closed.
        async move { drop(queue.session_ended.acquire().await) }
    }

    /// Ends the session because the backend has ended, like dropping this, with a reason for
    /// clients whose requests are pending.
    pub fn close(self, reason: impl Into<String>) {
        if let Some(session) = self.session.upgrade() {
            session.on_backend_closed(Some(reason.into()));
        }
    }

    /// Returns the permit of the session, to be held until the session's server has ended, if
    /// that takes a while.
    #[must_use]
    pub fn permit(&self) -> SessionPermit {
        self.permit.upgrade()
    }

    /// Sets the first message of the client, for the backend that is opened.
    pub(crate) fn set_first_message(&mut self, first: Option<Bytes>) {
        self.first_message = first;
    }

    /// Returns the first message of the client, if known. It is still received later.
    #[cfg(feature = "stdio")]
    pub(crate) fn take_first_message(&mut self) -> Option<Bytes> {
        self.first_message.take()
    }

    /// Handles each message in a callback, without a task: for a backend that responds without
    /// waiting for anything.
    ///
    /// The callback runs in the task that queues the message, with one message at a time, in
    /// order, and is dropped when the session has ended. If it panics, its session ends.
    pub fn handle(mut self, handler: impl FnMut(Bytes) + Send + 'static) {
        self.first_message = None;
        let queue = Arc::clone(&self.queue);
        queue.state.lock().handler = Some(Handler { handle: Box::new(handler), _messages: self });
        queue.run_handler();
    }
}

impl Drop for ClientMessages {
    fn drop(&mut self) {
        self.queue.permits.close();
        drop(self.queue.close_and_take());
        if let Some(session) = self.session.upgrade() {
            session.on_backend_closed(None);
        }
    }
}

/// A callback for messages. Dropping it drops the [`ClientMessages`], which ends the session.
struct Handler {
    handle: Box<dyn FnMut(Bytes) + Send>,
    _messages: ClientMessages,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

/// The session's end of the queue.
#[derive(Debug)]
pub(crate) struct BackendQueue(Arc<QueueInner>);

/// The part of the queue that both ends share.
#[derive(Debug)]
struct QueueInner {
    state: Mutex<QueueState>,
    /// One permit for each further message of the client that the queue can hold.
    permits: Semaphore,
    /// Without permits; closed when the session has ended. A semaphore, because the races control
    /// its schedules.
    session_ended: Semaphore,
    /// Maximum number of messages of the session itself in the queue.
    session_messages_max: usize,
}

#[derive(Debug, Default)]
struct QueueState {
    messages: VecDeque<QueuedMessage>,
    /// How many of them are of the session itself.
    session_messages: usize,
    /// Whether no more messages are accepted.
    is_closed: bool,
    waker: Option<Waker>,
    /// `None` also while it is called.
    handler: Option<Handler>,
}

#[derive(Debug)]
enum QueuedMessage {
    /// A message of the client, which holds a permit.
    FromClient(Bytes),
    /// A message of the session itself.
    FromSession(Bytes),
}

/// Permits to queue messages of the client. Unused ones are returned on drop.
#[derive(Debug)]
pub(crate) struct QueuePermits<'a> {
    queue: &'a QueueInner,
    messages: usize,
}

/// The error when the queue had no space for a message in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueTimeout;

/// The error when a backend does not read the messages of the session itself, but causes more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;

impl BackendQueue {
    /// Creates a queue for up to `messages_max` messages of the client, and
    /// `session_messages_max` of the session itself.
    pub(crate) fn new(messages_max: usize, session_messages_max: usize) -> Self {
        Self(Arc::new(QueueInner {
            state: Mutex::default(),
            permits: Semaphore::new(messages_max),
            session_ended: Semaphore::new(0),
            session_messages_max,
        }))
    }

    /// Returns the backend's end of the queue, of which there is one.
    pub(crate) fn messages(
        &self,
        session: Weak<SessionInner>,
        permit: WeakPermit,
    ) -> ClientMessages {
        ClientMessages { queue: Arc::clone(&self.0), session, permit, first_message: None }
    }

    /// Waits for permits for that many messages. If the backend has ended, it returns at once:
    /// the session then rejects the messages.
    pub(crate) async fn reserve(
        &self,
        messages: usize,
        timeout: Duration,
    ) -> Result<QueuePermits<'_>, QueueTimeout> {
        let count = u32::try_from(messages).map_err(|_| QueueTimeout)?;
        let semaphore = &self.0.permits;
        let acquired = match semaphore.try_acquire_many(count) {
            Err(TryAcquireError::NoPermits) => {
                let acquired = clock::timeout(timeout, semaphore.acquire_many(count)).await;
                acquired.map_err(|_| QueueTimeout)?.ok()
            }
            acquired => acquired.ok(),
        };
        acquired.into_iter().for_each(SemaphorePermit::forget);
        Ok(QueuePermits { queue: &self.0, messages })
    }

    /// Queues a message of the client, using a permit. Returns the waker of the backend.
    pub(crate) fn forward(&self, message: Bytes, permits: &mut QueuePermits<'_>) -> Option<Waker> {
        debug_assert!(permits.messages > 0, "every forwarded message has a permit");
        permits.messages = permits.messages.saturating_sub(1);
        self.0.state.lock().push(QueuedMessage::FromClient(message))
    }

    /// Queues a message of the session itself. Returns the waker of the backend.
    pub(crate) fn push_session_message(&self, message: Bytes) -> Result<Option<Waker>, QueueFull> {
        let mut state = self.0.state.lock();
        if state.session_messages >= self.0.session_messages_max {
            return Err(QueueFull);
        }
        Ok(state.push(QueuedMessage::FromSession(message)))
    }

    /// Closes the queue; what it holds can still be received. Returns the waker of the backend.
    pub(crate) fn close(&self) -> Option<Waker> {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        state.waker.take()
    }

    /// Calls the handler, if there is one. The lock of the session must not be held.
    pub(crate) fn run_handler(&self) {
        self.0.run_handler();
    }

    /// Completes the futures of [`ClientMessages::ended`].
    pub(crate) fn signal_session_ended(&self) {
        self.0.session_ended.close();
    }
}

impl QueueInner {
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<QueuedMessage>> {
        let mut state = self.state.lock();
        if let Some(message) = state.pop() {
            return Poll::Ready(Some(message));
        }
        if state.is_closed {
            return Poll::Ready(None);
        }
        let earlier = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    /// Calls the handler with all queued messages, unless another thread does so already.
    fn run_handler(&self) {
        let mut state = self.state.lock();
        while let Some(mut handler) = state.handler.take() {
            let Some(message) = state.pop() else {
                if !state.is_closed {
                    state.handler = Some(handler);
                }
                // A closed queue drops its handler, after the lock is released.
                return drop(state);
            };
            drop(state);
            let message = self.receive(message);
            (handler.handle)(message);
            state = self.state.lock();
            state.handler = Some(handler);
        }
    }

    /// Returns a message to the backend, and releases its permit.
    fn receive(&self, message: QueuedMessage) -> Bytes {
        match message {
            QueuedMessage::FromClient(message) => {
                self.permits.add_permits(1);
                message
            }
            QueuedMessage::FromSession(message) => message,
        }
    }

    /// Closes the queue, and returns what will not be received.
    fn close_and_take(&self) -> VecDeque<QueuedMessage> {
        let mut state = self.state.lock();
        state.is_closed = true;
        std::mem::take(&mut state.messages)
    }
}

impl QueueState {
    /// Adds a message, unless the queue is closed. Returns the waker of the backend.
    fn push(&mut self, message: QueuedMessage) -> Option<Waker> {
        if self.is_closed {
            return None;
        }
        self.session_messages += usize::from(matches!(message, QueuedMessage::FromSession(_)));
        self.messages.push_back(message);
        self.waker.take()
    }

    fn pop(&mut self) -> Option<QueuedMessage> {
        let message = self.messages.pop_front()?;
        self.session_messages -= usize::from(matches!(message, QueuedMessage::FromSession(_)));
        if self.messages.is_empty() {
            // Keeps the memory of an idle session small.
            self.messages.shrink_to(IDLE_CAPACITY);
        }
        Some(message)
    }
}

/// Capacity of an empty queue.
const IDLE_CAPACITY: usize = 2;

impl Drop for QueuePermits<'_> {
    fn drop(&mut self) {
        self.queue.permits.add_permits(self.messages);
    }
}
