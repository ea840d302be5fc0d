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
    manager::WeakPlace,
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
    queue: Arc<Queue>,
    session: Weak<SessionInner>,
    place: WeakPlace,
    /// What the client says first, where that is known, until the first message is received.
    expected: Option<Bytes>,
}

impl ClientMessages {
    /// Waits for the next message; `None` says that the session has ended.
    ///
    /// Cancel-safe: a message that was not returned is not lost.
    pub async fn recv(&mut self) -> Option<Bytes> {
        let delivery = poll_fn(|cx| self.queue.poll_next(cx)).await?;
        self.expected = None;
        Some(self.queue.receive(delivery))
    }

    /// Returns what is ready when the session has ended, also while there still are
    /// messages to receive: for a backend that may be busy with one of them for long.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let queue = Arc::clone(&self.queue);
        // There never is a permit: the error says that the semaphore is closed.
        async move { drop(queue.end.acquire().await) }
    }

    /// Says that the backend is gone, and why, for the clients whose requests are pending.
    /// It ends the session, as to drop the inbox does.
    pub fn close(self, why: impl Into<String>) {
        if let Some(session) = self.session.upgrade() {
            session.lose_backend(Some(why.into()));
        }
    }

    /// Returns the place of the session, to be kept until its server has ended, if that takes
    /// a while.
    #[must_use]
    pub fn permit(&self) -> SessionPermit {
        self.place.upgrade()
    }

    /// Notes what the client says first, for the backend that is opened.
    pub(crate) fn expect(&mut self, first: Option<Bytes>) {
        self.expected = first;
    }

    /// Returns what the client says first, where that is known. It will be received, too.
    #[cfg(feature = "stdio")]
    pub(crate) fn take_expected(&mut self) -> Option<Bytes> {
        self.expected.take()
    }

    /// Has messages handled as they come, by whoever brings them: for a handler that
    /// answers without waiting for anything, and so needs no task.
    ///
    /// It is called with one message at a time, in order, and dropped when the session
    /// has ended. A handler that panics ends its session.
    pub fn handle(mut self, handler: impl FnMut(Bytes) + Send + 'static) {
        self.expected = None;
        let queue = Arc::clone(&self.queue);
        queue.held.lock().handler = Some(Handler { handle: Box::new(handler), _inbox: self });
        queue.run_handler();
    }
}

impl Drop for ClientMessages {
    fn drop(&mut self) {
        self.queue.room.close();
        drop(self.queue.give_up());
        if let Some(session) = self.session.upgrade() {
            session.lose_backend(None);
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
pub(crate) struct Outbox(Arc<Queue>);

/// What both ends share.
#[derive(Debug)]
struct Queue {
    held: Mutex<Held>,
    /// How many more messages of the client the queue holds.
    room: Semaphore,
    /// Closed when the session has ended.
    end: Semaphore,
    /// How many messages of the session itself the queue holds.
    said_max: usize,
}

#[derive(Debug, Default)]
struct Held {
    deliveries: VecDeque<Delivery>,
    /// How many of them the session says itself.
    said: usize,
    /// Whether nothing is put in any more.
    is_over: bool,
    waker: Option<Waker>,
    /// Not there while it is called.
    handler: Option<Handler>,
}

#[derive(Debug)]
enum Delivery {
    /// A message of the client, which takes room.
    Forwarded(Bytes),
    /// A message of the session itself.
    Said(Bytes),
}

/// Room for messages of the client; what is not used is given back.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    queue: &'a Queue,
    messages: usize,
}

/// Says that a backend had no room for a message in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRoom;

/// Says that a backend does not take what the session has to say, and goes on asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flooded;

impl Outbox {
    /// Makes a queue that holds `messages_max` messages of the client, and `said_max` of
    /// the session itself.
    pub(crate) fn new(
        messages_max: usize,
        said_max: usize,
        session: Weak<SessionInner>,
        place: WeakPlace,
    ) -> (Self, ClientMessages) {
        let queue = Arc::new(Queue {
            held: Mutex::default(),
            room: Semaphore::new(messages_max),
            end: Semaphore::new(0),
            said_max,
        });
        (Self(Arc::clone(&queue)), ClientMessages { queue, session, place, expected: None })
    }

    /// Waits for room for `messages`. Where the backend is gone there is room for
    /// anything: the session says what becomes of it.
    pub(crate) async fn reserve(
        &self,
        messages: usize,
        timeout: Duration,
    ) -> Result<Room<'_>, NoRoom> {
        let count = u32::try_from(messages).map_err(|_| NoRoom)?;
        let room = &self.0.room;
        let permits = match room.try_acquire_many(count) {
            Err(TryAcquireError::NoPermits) => {
                let acquired = clock::timeout(timeout, room.acquire_many(count)).await;
                acquired.map_err(|_| NoRoom)?.ok()
            }
            permits => permits.ok(),
        };
        permits.into_iter().for_each(SemaphorePermit::forget);
        Ok(Room { queue: &self.0, messages })
    }

    /// Hands a message of the client over, for which there is room. Returns whom to wake.
    pub(crate) fn forward(&self, message: Bytes, room: &mut Room<'_>) -> Option<Waker> {
        debug_assert!(room.messages > 0, "there is room for every message that is forwarded");
        room.messages = room.messages.saturating_sub(1);
        self.0.held.lock().put(Delivery::Forwarded(message))
    }

    /// Hands over what the session says itself. Returns whom to wake.
    pub(crate) fn say(&self, message: Bytes) -> Result<Option<Waker>, Flooded> {
        let mut held = self.0.held.lock();
        if held.said >= self.0.said_max {
            return Err(Flooded);
        }
        Ok(held.put(Delivery::Said(message)))
    }

    /// Ends the inbox, after what it holds. Returns whom to wake.
    pub(crate) fn end(&self) -> Option<Waker> {
        let mut held = self.0.held.lock();
        held.is_over = true;
        held.waker.take()
    }

    /// Calls the handler, if there is one. No lock of the session may be held.
    pub(crate) fn run_handler(&self) {
        self.0.run_handler();
    }

    /// Says that the session has ended, also to who does not get at the end of the inbox.
    pub(crate) fn announce_end(&self) {
        self.0.end.close();
    }
}

impl Queue {
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Delivery>> {
        let mut held = self.held.lock();
        if let Some(delivery) = held.take() {
            return Poll::Ready(Some(delivery));
        }
        if held.is_over {
            return Poll::Ready(None);
        }
        let earlier = held.waker.replace(cx.waker().clone());
        drop(held);
        drop(earlier);
        Poll::Pending
    }

    /// Calls the handler with all that there is, unless somebody does so already.
    fn run_handler(&self) {
        let mut held = self.held.lock();
        while let Some(mut handler) = held.handler.take() {
            let Some(delivery) = held.take() else {
                if !held.is_over {
                    held.handler = Some(handler);
                }
                // What is left of it is dropped after the lock.
                return drop(held);
            };
            drop(held);
            let message = self.receive(delivery);
            (handler.handle)(message);
            held = self.held.lock();
            held.handler = Some(handler);
        }
    }

    /// Returns the message, and gives back the room that it took.
    fn receive(&self, delivery: Delivery) -> Bytes {
        match delivery {
            Delivery::Forwarded(message) => {
                self.room.add_permits(1);
                message
            }
            Delivery::Said(message) => message,
        }
    }

    /// Takes no more, and returns what nobody will hear.
    fn give_up(&self) -> VecDeque<Delivery> {
        let mut held = self.held.lock();
        held.is_over = true;
        std::mem::take(&mut held.deliveries)
    }
}

impl Held {
    /// What is put in after the end, nobody waits for.
    fn put(&mut self, delivery: Delivery) -> Option<Waker> {
        if self.is_over {
            return None;
        }
        self.said += usize::from(matches!(delivery, Delivery::Said(_)));
        self.deliveries.push_back(delivery);
        self.waker.take()
    }

    fn take(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.pop_front()?;
        self.said -= usize::from(matches!(delivery, Delivery::Said(_)));
        if self.deliveries.is_empty() {
            // An idle session needs little memory.
            self.deliveries.shrink_to(IDLE_PLACES);
        }
        Some(delivery)
    }
}

/// How many places an empty queue keeps.
const IDLE_PLACES: usize = 2;

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.queue.room.add_permits(self.messages);
    }
}
