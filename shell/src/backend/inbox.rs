//! The queue from a session to its backend.

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use rejoin_core::Input;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::session::Cell;

/// What a backend hears of a session: JSON-RPC messages, one at a time.
///
/// These are the client's messages as they came, each in one line, and what the
/// session has to say itself: a `notifications/cancelled` for a request that nobody
/// waits for any more, and an error for a request of the backend that the client
/// will not answer.
///
/// To drop it says that the backend is gone, which ends the session.
#[derive(Debug)]
pub struct Inbox {
    queue: mpsc::UnboundedReceiver<Delivery>,
    room: Arc<Semaphore>,
    session: Weak<Cell>,
    end: SessionEnd,
}

impl Inbox {
    /// Waits for the next message; `None` says that the session has ended.
    ///
    /// Cancel-safe: a message that was not returned is not lost.
    pub async fn recv(&mut self) -> Option<Bytes> {
        match self.queue.recv().await? {
            Delivery::Forwarded(message) => {
                self.room.add_permits(1);
                Some(message)
            }
            Delivery::Said(message) => Some(message),
            Delivery::End => {
                self.queue.close();
                None
            }
        }
    }

    /// Returns what is ready when the session has ended, also while there still are
    /// messages to receive: for a backend that may be busy with one of them for long.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let end = self.end.clone();
        async move { end.wait().await }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.room.close();
        if let Some(session) = self.session.upgrade() {
            session.tell(Input::BackendGone);
        }
    }
}

/// The session's end of an inbox.
///
/// The queue holds as many messages of the client as it has room for. What the
/// session says itself needs no room: it is at most one message for each request
/// that is pending or waits, and so is bounded by the limits of the session.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: mpsc::UnboundedSender<Delivery>,
    room: Arc<Semaphore>,
    end: SessionEnd,
}

#[derive(Debug)]
enum Delivery {
    /// A message of the client, which takes room.
    Forwarded(Bytes),
    /// A message of the session itself.
    Said(Bytes),
    /// The session has ended.
    End,
}

/// Room for messages of the client; what is not used is given back.
#[derive(Debug)]
pub(crate) struct Room {
    semaphore: Arc<Semaphore>,
    messages: usize,
}

/// Says that a backend had no room for a message in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRoom;

impl Outbox {
    /// Makes a queue that holds `messages_max` messages of the client.
    pub(crate) fn new(messages_max: usize, session: Weak<Cell>) -> (Self, Inbox) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(messages_max));
        let end = SessionEnd::new();
        let inbox = Inbox { queue: receiver, room: Arc::clone(&room), session, end: end.clone() };
        (Self { queue: sender, room, end }, inbox)
    }

    /// Waits for room for `messages`. Where the backend is gone there is room for
    /// anything: the session says what becomes of it.
    pub(crate) async fn reserve(&self, messages: usize, timeout: Duration) -> Result<Room, NoRoom> {
        let count = u32::try_from(messages).map_err(|_| NoRoom)?;
        let acquired = tokio::time::timeout(timeout, self.room.acquire_many(count)).await;
        acquired.map_err(|_| NoRoom)?.into_iter().for_each(SemaphorePermit::forget);
        Ok(Room { semaphore: Arc::clone(&self.room), messages })
    }

    /// Hands a message of the client over, for which there is room.
    pub(crate) fn forward(&self, message: Bytes, room: &mut Room) {
        debug_assert!(room.messages > 0, "there is room for every message that is forwarded");
        room.messages = room.messages.saturating_sub(1);
        self.deliver(Delivery::Forwarded(message));
    }

    /// Hands over what the session says itself.
    pub(crate) fn say(&self, message: Bytes) {
        self.deliver(Delivery::Said(message));
    }

    /// Ends the inbox, after what it holds.
    pub(crate) fn end(&self) {
        self.deliver(Delivery::End);
        self.end.announce();
    }

    /// A backend that is gone has told the session so: what it does not hear, nobody waits for.
    fn deliver(&self, delivery: Delivery) {
        let _ = self.queue.send(delivery);
    }
}

/// A session that is gone has ended.
impl Drop for Outbox {
    fn drop(&mut self) {
        self.end.announce();
    }
}

/// Says that the session has ended, also to who does not get at the end of its inbox.
#[derive(Clone, Debug)]
struct SessionEnd(Arc<Semaphore>);

impl SessionEnd {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    fn announce(&self) {
        self.0.close();
    }

    async fn wait(&self) {
        // There never is a permit: the error says that the semaphore is closed.
        let _ = self.0.acquire().await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.messages);
    }
}
