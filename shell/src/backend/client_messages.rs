//! The queue from a session to its backend.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    SessionPermit, clock,
    manager::WeakPermit,
    session::SessionInner,
    sync::{Mutex, Semaphore, SemaphorePermit, TryAcquireError},
};

/// What a backend hears of a session: JSON-RPC messages, one at a time.
///
/// These are the client's messages as they came, each in one line, and what the
/// session has to say itself: a `notifications/cancelled` for a request that nobody
/// waits for any more, and an error for a request of the backend that the client
/// will not answer.
///
/// To drop it says that the backend is gone; [`close`](Self::close) says why, too. The session
/// takes nothing new then, and ends when its connections have sent what the backend said.
#[derive(Debug)]
pub struct ClientMessages {
    queue: Arc<QueueInner>,
    session: Weak<SessionInner>,
    permit: WeakPermit,
    /// What the client says first, where that is known, until the first message is received.
    first_message: Option<Bytes>,
}

impl ClientMessages {
    /// Waits for the next message; `None` says that the session has ended.
    ///
    /// Cancel-safe: a message that was not returned is not lost.
    pub async fn recv(&mut self) -> Option<Bytes> {
        let delivery = poll_fn(|cx| self.queue.poll_next(cx)).await?;
        self.first_message = None;
        Some(self.queue.receive(delivery))
    }

    /// Returns what is ready when the session has ended, also while there still are
    /// messages to receive: for a backend that may be busy with one of them for long.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let queue = Arc::clone(&self.queue);
        // There never is a permit: the error says that the semaphore is closed.
        async move { drop(queue.session_ended.acquire().await) }
    }

    /// Says that the backend is gone, and why, for the clients whose requests are pending.
    /// It ends the session, as to drop the inbox does.
    pub fn close(self, why: impl Into<String>) {
        if let Some(session) = self.session.upgrade() {
            session.on_backend_closed(Some(why.into()));
        }
    }

    /// Returns the place of the session, to be kept until its server has ended, if that takes
    /// a while.
    #[must_use]
    pub fn permit(&self) -> SessionPermit {
        self.permit.upgrade()
    }

    /// Notes what the client says first, for the backend that is opened.
    pub(crate) fn set_first_message(&mut self, first: Option<Bytes>) {
        self.first_message = first;
    }

    /// Returns what the client says first, where that is known. It will be received, too.
    #[cfg(feature = "stdio")]
    pub(crate) fn take_first_message(&mut self) -> Option<Bytes> {
        self.first_message.take()
    }

    /// Has messages handled as they come, by whoever brings them: for a handler that
    /// answers without waiting for anything, and so needs no task.
    ///
    /// It is called with one message at a time, in order, and dropped when the session
    /// has ended. A handler that panics ends its session.
    pub fn handle(mut self, handler: impl FnMut(Bytes) + Send + 'static) {
        self.first_message = None;
        let queue = Arc::clone(&self.queue);
        queue.state.lock().handler = Some(Handler { handle: Box::new(handler), _inbox: self });
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

/// What is called with messages. To drop it drops the inbox.
struct Handler {
    handle: Box<dyn FnMut(Bytes) + Send>,
    _inbox: ClientMessages,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

/// The session's end of an inbox.
#[derive(Clone, Debug)]
pub(crate) struct BackendQueue(Arc<QueueInner>);

/// What both ends share.
#[derive(Debug)]
struct QueueInner {
    state: Mutex<QueueState>,
    /// How many more messages of the client the queue holds.
    permits: Semaphore,
    /// Closed when the session has ended.
    session_ended: Semaphore,
    /// How many messages of the session itself the queue holds.
    session_messages_max: usize,
}

#[derive(Debug, Default)]
struct QueueState {
    messages: VecDeque<QueuedMessage>,
    /// How many of them the session says itself.
    session_messages: usize,
    /// Whether nothing is put in any more.
    is_closed: bool,
    waker: Option<Waker>,
    /// Not there while it is called.
    handler: Option<Handler>,
}

#[derive(Debug)]
enum QueuedMessage {
    /// A message of the client, which takes room.
    FromClient(Bytes),
    /// A message of the session itself.
    FromSession(Bytes),
}

/// Room for messages of the client; what is not used is given back.
#[derive(Debug)]
pub(crate) struct QueuePermits<'a> {
    queue: &'a QueueInner,
    messages: usize,
}

/// Says that a backend had no room for a message in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueTimeout;

/// Says that a backend does not take what the session has to say, and goes on asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;

impl BackendQueue {
    /// Makes a queue that holds `messages_max` messages of the client, and `said_max` of
    /// the session itself.
    pub(crate) fn new(
        messages_max: usize,
        said_max: usize,
        session: Weak<SessionInner>,
        place: WeakPermit,
    ) -> (Self, ClientMessages) {
        let queue = Arc::new(QueueInner {
            state: Mutex::default(),
            permits: Semaphore::new(messages_max),
            session_ended: Semaphore::new(0),
            session_messages_max: said_max,
        });
        (
            Self(Arc::clone(&queue)),
            ClientMessages { queue, session, permit: place, first_message: None },
        )
    }

    /// Waits for room for `messages`. Where the backend is gone there is room for
    /// anything: the session says what becomes of it.
    pub(crate) async fn reserve(
        &self,
        messages: usize,
        timeout: Duration,
    ) -> Result<QueuePermits<'_>, QueueTimeout> {
        let count = u32::try_from(messages).map_err(|_| QueueTimeout)?;
        let room = &self.0.permits;
        let permits = match room.try_acquire_many(count) {
            Err(TryAcquireError::NoPermits) => {
                let acquired = clock::timeout(timeout, room.acquire_many(count)).await;
                acquired.map_err(|_| QueueTimeout)?.ok()
            }
            permits => permits.ok(),
        };
        permits.into_iter().for_each(SemaphorePermit::forget);
        Ok(QueuePermits { queue: &self.0, messages })
    }

    /// Hands a message of the client over, for which there is room. Returns whom to wake.
    pub(crate) fn forward(&self, message: Bytes, room: &mut QueuePermits<'_>) -> Option<Waker> {
        debug_assert!(room.messages > 0, "there is room for every message that is forwarded");
        room.messages = room.messages.saturating_sub(1);
        self.0.state.lock().push(QueuedMessage::FromClient(message))
    }

    /// Hands over what the session says itself. Returns whom to wake.
    pub(crate) fn push_session_message(&self, message: Bytes) -> Result<Option<Waker>, QueueFull> {
        let mut held = self.0.state.lock();
        if held.session_messages >= self.0.session_messages_max {
            return Err(QueueFull);
        }
        Ok(held.push(QueuedMessage::FromSession(message)))
    }

    /// Ends the inbox, after what it holds. Returns whom to wake.
    pub(crate) fn close(&self) -> Option<Waker> {
        let mut held = self.0.state.lock();
        held.is_closed = true;
        held.waker.take()
    }

    /// Calls the handler, if there is one. No lock of the session may be held.
    pub(crate) fn run_handler(&self) {
        self.0.run_handler();
    }

    /// Says that the session has ended, also to who does not get at the end of the inbox.
    pub(crate) fn signal_session_ended(&self) {
        self.0.session_ended.close();
    }
}

impl QueueInner {
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<QueuedMessage>> {
        let mut held = self.state.lock();
        if let Some(delivery) = held.pop() {
            return Poll::Ready(Some(delivery));
        }
        if held.is_closed {
            return Poll::Ready(None);
        }
        let earlier = held.waker.replace(cx.waker().clone());
        drop(held);
        drop(earlier);
        Poll::Pending
    }

    /// Calls the handler with all that there is, unless somebody does so already.
    fn run_handler(&self) {
        let mut held = self.state.lock();
        while let Some(mut handler) = held.handler.take() {
            let Some(delivery) = held.pop() else {
                if !held.is_closed {
                    held.handler = Some(handler);
                }
                // What is left of it is dropped after the lock.
                return drop(held);
            };
            drop(held);
            let message = self.receive(delivery);
            (handler.handle)(message);
            held = self.state.lock();
            held.handler = Some(handler);
        }
    }

    /// Returns the message, and gives back the room that it took.
    fn receive(&self, delivery: QueuedMessage) -> Bytes {
        match delivery {
            QueuedMessage::FromClient(message) => {
                self.permits.add_permits(1);
                message
            }
            QueuedMessage::FromSession(message) => message,
        }
    }

    /// Takes no more, and returns what nobody will hear.
    fn close_and_take(&self) -> VecDeque<QueuedMessage> {
        let mut held = self.state.lock();
        held.is_closed = true;
        std::mem::take(&mut held.messages)
    }
}

impl QueueState {
    /// What is put in after the end, nobody waits for.
    fn push(&mut self, delivery: QueuedMessage) -> Option<Waker> {
        if self.is_closed {
            return None;
        }
        self.session_messages += usize::from(matches!(delivery, QueuedMessage::FromSession(_)));
        self.messages.push_back(delivery);
        self.waker.take()
    }

    fn pop(&mut self) -> Option<QueuedMessage> {
        let delivery = self.messages.pop_front()?;
        self.session_messages -= usize::from(matches!(delivery, QueuedMessage::FromSession(_)));
        if self.messages.is_empty() {
            // An idle session needs little memory.
            self.messages.shrink_to(IDLE_CAPACITY);
        }
        Some(delivery)
    }
}

/// How many places an empty queue keeps.
const IDLE_CAPACITY: usize = 2;

impl Drop for QueuePermits<'_> {
    fn drop(&mut self) {
        self.queue.permits.add_permits(self.messages);
    }
}
