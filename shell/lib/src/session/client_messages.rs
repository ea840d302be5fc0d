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
    payload::Payload,
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
pub struct ClientMessages<P: Payload = Bytes> {
    queue: Arc<QueueInner<P>>,
    session: Weak<SessionInner<P>>,
    permit: WeakPermit,
    /// The first message of the client, if known, until a message is received.
    first_message: Option<P::Client>,
}

impl<P: Payload> ClientMessages<P> {
    /// Waits for the next message; `None` means that the session has ended.
    ///
    /// Cancel-safe: a message that was not returned stays in the queue.
    pub async fn recv(&mut self) -> Option<P::Client> {
        let message = poll_fn(|cx| self.queue.poll_next(cx)).await?;
        self.first_message = None;
        Some(self.queue.receive(message))
    }

    /// Returns a future that is ready when the session has ended, even if there are messages
    /// left to receive. It is for a backend that may be busy with one of them for a long time.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<P> {
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
    pub(crate) fn set_first_message(&mut self, first: Option<P::Client>) {
        self.first_message = first;
    }

    /// Returns the first message of the client, if known. It is still received later.
    #[cfg(feature = "stdio")]
    pub(crate) fn take_first_message(&mut self) -> Option<P::Client> {
        self.first_message.take()
    }

    /// Handles each message in a callback, without a task: for a backend that responds without
    /// waiting for anything.
    ///
    /// The callback runs in the task that queues the message, with one message at a time, in
    /// order, and is dropped when the session has ended. If it panics, its session ends.
    pub fn handle(mut self, handler: impl FnMut(P::Client) + Send + 'static) {
        self.first_message = None;
        let queue = Arc::clone(&self.queue);
        queue.state.lock().handler = Some(Handler { handle: Box::new(handler), _messages: self });
        queue.run_handler();
    }
}

impl<P: Payload> Drop for ClientMessages<P> {
    fn drop(&mut self) {
        self.queue.permits.close();
        drop(self.queue.close_and_take());
        if let Some(session) = self.session.upgrade() {
            session.on_backend_closed(None);
        }
    }
}

/// A callback for messages. Dropping it drops the [`ClientMessages`], which ends the session.
struct Handler<P: Payload> {
    handle: Box<dyn FnMut(P::Client) + Send>,
    _messages: ClientMessages<P>,
}

impl<P: Payload> fmt::Debug for Handler<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

/// The session's end of the queue.
#[derive(Debug)]
pub(crate) struct BackendQueue<P: Payload>(Arc<QueueInner<P>>);

/// The part of the queue that both ends share.
#[derive(Debug)]
struct QueueInner<P: Payload> {
    state: Mutex<QueueState<P>>,
    /// One permit for each further message of the client that the queue can hold.
    permits: Semaphore,
    /// Without permits; closed when the session has ended. A semaphore, because the races control
    /// its schedules.
    session_ended: Semaphore,
    /// Maximum number of messages of the session itself in the queue.
    session_messages_max: usize,
}

#[derive(Debug)]
struct QueueState<P: Payload> {
    messages: VecDeque<QueuedMessage<P>>,
    /// How many of them are of the session itself.
    session_messages: usize,
    /// Whether no more messages are accepted.
    is_closed: bool,
    waker: Option<Waker>,
    /// `None` also while it is called.
    handler: Option<Handler<P>>,
}

#[derive(Debug)]
enum QueuedMessage<P: Payload> {
    /// A message of the client, which holds a permit.
    FromClient(P::Client),
    /// A message of the session itself.
    FromSession(P::Client),
}

/// Permits to queue messages of the client. Unused ones are returned on drop.
#[derive(Debug)]
pub(crate) struct QueuePermits<'a> {
    /// Of the queue.
    permits: &'a Semaphore,
    messages: usize,
}

/// The error when the queue had no space for a message in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueTimeout;

/// The error when a backend does not read the messages of the session itself, but causes more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;

impl<P: Payload> BackendQueue<P> {
    /// Creates a queue for up to `messages_max` messages of the client, and
    /// `session_messages_max` of the session itself.
    pub(crate) fn new(messages_max: usize, session_messages_max: usize) -> Self {
        let state = QueueState {
            messages: VecDeque::new(),
            session_messages: 0,
            is_closed: false,
            waker: None,
            handler: None,
        };
        Self(Arc::new(QueueInner {
            state: Mutex::new(state),
            permits: Semaphore::new(messages_max),
            session_ended: Semaphore::new(0),
            session_messages_max,
        }))
    }

    /// Returns the backend's end of the queue, of which there is one.
    pub(crate) fn messages(
        &self,
        session: Weak<SessionInner<P>>,
        permit: WeakPermit,
    ) -> ClientMessages<P> {
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
        Ok(QueuePermits { permits: semaphore, messages })
    }

    /// Queues a message of the client, using a permit. Returns the waker of the backend.
    pub(crate) fn forward(
        &self,
        message: P::Client,
        permits: &mut QueuePermits<'_>,
    ) -> Option<Waker> {
        debug_assert!(permits.messages > 0, "every forwarded message has a permit");
        permits.messages = permits.messages.saturating_sub(1);
        self.0.state.lock().push(QueuedMessage::FromClient(message))
    }

    /// Queues a message of the session itself. Returns the waker of the backend.
    pub(crate) fn push_session_message(
        &self,
        message: P::Client,
    ) -> Result<Option<Waker>, QueueFull> {
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

impl<P: Payload> QueueInner<P> {
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<QueuedMessage<P>>> {
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
    fn receive(&self, message: QueuedMessage<P>) -> P::Client {
        match message {
            QueuedMessage::FromClient(message) => {
                self.permits.add_permits(1);
                message
            }
            QueuedMessage::FromSession(message) => message,
        }
    }

    /// Closes the queue, and returns what will not be received.
    fn close_and_take(&self) -> VecDeque<QueuedMessage<P>> {
        let mut state = self.state.lock();
        state.is_closed = true;
        std::mem::take(&mut state.messages)
    }
}

impl<P: Payload> QueueState<P> {
    /// Adds a message, unless the queue is closed. Returns the waker of the backend.
    fn push(&mut self, message: QueuedMessage<P>) -> Option<Waker> {
        if self.is_closed {
            return None;
        }
        self.session_messages += usize::from(matches!(message, QueuedMessage::FromSession(_)));
        self.messages.push_back(message);
        self.waker.take()
    }

    fn pop(&mut self) -> Option<QueuedMessage<P>> {
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
        self.permits.add_permits(self.messages);
    }
}
