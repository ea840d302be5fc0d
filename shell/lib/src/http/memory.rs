//! Memory limits of client messages: from the first byte that is received until the backend has
//! received the message.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, request::Parts, uri::Authority};
use rejoin_core::{Message, Post};

use crate::{
    ClientMessage,
    byte_counter::{ByteCounter, RequestCounters},
};

/// Maximum size of a small body, and of a small head, in bytes.
pub(super) const SMALL_BYTES: usize = 16 << 10;

/// The memory for all client messages, with shares that keep any client from exhausting it for
/// the others:
///
/// - Each session can use a quarter of it, and so can all clients without a session together, and all
///   messages that are passed on to other processes.
/// - Large messages leave an eighth to small ones, both of the total and of these shares.
#[derive(Debug)]
pub(super) struct RequestMemory {
    bytes_max: usize,
    /// Maximum size of one request body, which is the minimum of each share.
    body_bytes_max: usize,
    /// Of all services of a manager.
    counters: RequestCounters,
}

/// The memory that is reserved for one message. It is released on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    all: Arc<ByteCounter>,
    /// The bytes of the session, or of all clients without one.
    group: Arc<ByteCounter>,
    /// Limits of a small message: for `all`, and for `group`.
    small_bytes_max: (usize, usize),
    /// Limits of a large message.
    large_bytes_max: (usize, usize),
    /// Whether the message has declared that it is large.
    is_large: bool,
    /// Size of the head of the request. It comes on top of the limits of this message, so that
    /// its body may be as large as without it.
    head_bytes: usize,
    /// Size of the body.
    bytes: usize,
}

/// The error when there is not enough memory for a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemoryExhausted;

impl RequestMemory {
    pub(super) fn new(bytes_max: usize, body_bytes_max: usize, counters: RequestCounters) -> Self {
        Self { bytes_max, body_bytes_max, counters }
    }

    /// Creates a reservation for a message of a session, whose bytes `group` counts.
    pub(super) fn reservation(&self, group: Option<&Arc<ByteCounter>>) -> Reservation {
        match group {
            Some(group) => self.reservation_in(group, self.body_bytes_max),
            // Messages without a session are short: one always fits.
            None => self.reservation_in(&self.counters.without_session, 0),
        }
    }

    /// Returns the counter of messages that are passed on to other processes.
    #[cfg(feature = "cluster")]
    pub(super) fn passed_on(&self) -> &Arc<ByteCounter> {
        &self.counters.passed_on
    }

    /// Creates a reservation in a group. Its large messages can use at least `large_bytes_min`.
    fn reservation_in(&self, group: &Arc<ByteCounter>, large_bytes_min: usize) -> Reservation {
        let group_bytes_max = (self.bytes_max / 4).max(self.body_bytes_max);
        let for_large = |bytes_max: usize| bytes_max - bytes_max / 8;
        Reservation {
            all: Arc::clone(&self.counters.all),
            group: Arc::clone(group),
            small_bytes_max: (self.bytes_max, group_bytes_max),
            large_bytes_max: (
                for_large(self.bytes_max).max(self.body_bytes_max),
                for_large(group_bytes_max).max(large_bytes_min),
            ),
            is_large: false,
            head_bytes: 0,
            bytes: 0,
        }
    }
}

impl Reservation {
    /// Reserves memory for the head of the request, which its messages keep.
    pub(super) fn add_head(&mut self, head: &Parts) -> Result<(), MemoryExhausted> {
        let bytes = head_bytes(head);
        self.head_bytes = bytes;
        let added = self.add(bytes, bytes <= SMALL_BYTES);
        if added.is_err() {
            self.head_bytes = 0;
        }
        added
    }

    /// Sets the length that the message has declared.
    pub(super) fn set_declared_length(&mut self, bytes: usize) {
        self.is_large = bytes > SMALL_BYTES;
    }

    /// Reserves memory for more bytes of the body.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), MemoryExhausted> {
        let is_small = !self.is_large && self.bytes.saturating_add(bytes) <= SMALL_BYTES;
        self.add(bytes, is_small)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Counts the message in another group, once it is known whose it is.
    #[cfg(feature = "cluster")]
    pub(super) fn move_to(&mut self, group: &Arc<ByteCounter>) -> Result<(), MemoryExhausted> {
        let is_small = !self.is_large && self.bytes <= SMALL_BYTES;
        let (_, group_max) = if is_small { self.small_bytes_max } else { self.large_bytes_max };
        let bytes = self.head_bytes.saturating_add(self.bytes);
        if !group.try_add(bytes, group_max.saturating_add(self.head_bytes)) {
            return Err(MemoryExhausted);
        }
        std::mem::replace(&mut self.group, Arc::clone(group)).subtract(bytes);
        Ok(())
    }

    fn add(&self, bytes: usize, is_small: bool) -> Result<(), MemoryExhausted> {
        let (all_max, group_max) =
            if is_small { self.small_bytes_max } else { self.large_bytes_max };
        if !self.group.try_add(bytes, group_max.saturating_add(self.head_bytes)) {
            return Err(MemoryExhausted);
        }
        if !self.all.try_add(bytes, all_max.saturating_add(self.head_bytes)) {
            self.group.subtract(bytes);
            return Err(MemoryExhausted);
        }
        Ok(())
    }

    /// Releases memory that the body did not need.
    pub(super) fn shrink(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.subtract(bytes);
    }

    fn subtract(&self, bytes: usize) {
        self.all.subtract(bytes);
        self.group.subtract(bytes);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Attaches the reservation, and the request that they came with, to the messages that were
    /// received. The reservation is released when the last of their bodies is dropped.
    pub(super) fn attach(self, post: Post<Bytes>, head: &Arc<Parts>) -> Post<ClientMessage> {
        let reservation = Arc::new(self);
        let attach = |Message { head: message, body, bytes }: Message<Bytes>| {
            let body = ReservedBody { bytes: body, _reservation: Arc::clone(&reservation) };
            let body = ClientMessage::from(Bytes::from_owner(body)).with_parts(Arc::clone(head));
            Message { head: message, body, bytes }
        };
        match post {
            Post::Single(message) => Post::Single(attach(message)),
            Post::Batch(messages) => Post::Batch(messages.into_iter().map(attach).collect()),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.subtract(self.head_bytes.saturating_add(self.bytes));
    }
}

/// Returns the size of the head of a request, about as it is kept.
fn head_bytes(head: &Parts) -> usize {
    let uri = &head.uri;
    let parts =
        [uri.scheme_str(), uri.authority().map(Authority::as_str), Some(uri.path()), uri.query()];
    let uri: usize = parts.into_iter().flatten().map(str::len).sum();
    let headers = head.headers.iter().map(|(name, value)| {
        size_of::<(HeaderName, HeaderValue)>() + name.as_str().len() + value.len()
    });
    size_of::<Parts>() + uri + headers.sum::<usize>()
}

/// A body with its reservation of memory.
struct ReservedBody {
    bytes: Bytes,
    _reservation: Arc<Reservation>,
}

impl AsRef<[u8]> for ReservedBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn clients_without_a_session_leave_memory_to_others() {
        let memory = RequestMemory::new(64 * MIB, 4 * MIB, RequestCounters::default());
        let mut large: Vec<_> = (0..14).map(|_| memory.reservation(None)).collect();
        for large in &mut large {
            large.grow(MIB).unwrap();
        }
        let long = || {
            let mut reservation = memory.reservation(None);
            reservation.set_declared_length(SMALL_BYTES + 1);
            reservation
        };
        assert_eq!(long().grow(1), Err(MemoryExhausted), "the first byte of a large message");
        let mut small: Vec<_> =
            (0..2 * MIB / SMALL_BYTES).map(|_| memory.reservation(None)).collect();
        for small in &mut small {
            small.grow(SMALL_BYTES).unwrap();
        }
        assert_eq!(memory.reservation(None).grow(1), Err(MemoryExhausted));
        assert_eq!(memory.reservation_in(&Arc::default(), 4 * MIB).grow(4 * MIB), Ok(()));
        large.pop();
        small.truncate(1);
        assert_eq!(long().grow(1), Ok(()));
    }

    #[test]
    fn large_messages_leave_memory_to_small_ones() {
        let memory = RequestMemory::new(64 * MIB, 4 * MIB, RequestCounters::default());
        let session = || memory.reservation_in(&Arc::default(), 4 * MIB);
        let large: Vec<_> = (0..14)
            .map(|_| {
                let mut reservation = session();
                reservation.grow(4 * MIB).unwrap();
                reservation
            })
            .collect();
        assert_eq!(session().grow(MIB), Err(MemoryExhausted));
        assert_eq!(session().grow(SMALL_BYTES), Ok(()));
        drop(large);
        assert_eq!(session().grow(MIB), Ok(()));
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn a_message_that_is_moved_counts_in_one_group() {
        let memory = RequestMemory::new(64 * MIB, 4 * MIB, RequestCounters::default());
        let (before, after) = (Arc::default(), Arc::default());
        let mut moved = memory.reservation(Some(&before));
        moved.grow(4 * MIB).unwrap();
        moved.move_to(&after).unwrap();
        let counted = [before.bytes(), after.bytes(), memory.counters.all.bytes()];
        assert_eq!(counted, [0, 4 * MIB, 4 * MIB]);
        let full: Vec<_> = (0..3)
            .map(|_| {
                let mut full = memory.reservation(Some(&after));
                full.grow(3 * MIB).unwrap();
                full
            })
            .collect();
        let mut surplus = memory.reservation(Some(&before));
        surplus.grow(4 * MIB).unwrap();
        assert_eq!(surplus.move_to(&after), Err(MemoryExhausted));
        drop((moved, full, surplus));
        let counted = [before.bytes(), after.bytes(), memory.counters.all.bytes()];
        assert_eq!(counted, [0, 0, 0]);
    }

    #[test]
    fn head_counts_until_the_message_is_dropped() {
        let memory = RequestMemory::new(64 * MIB, 4 * MIB, RequestCounters::default());
        let request = |bytes: usize| {
            let request = http::Request::builder().uri("http://a.example/b?c=d");
            let request = request.header("x-first", "x".repeat(bytes)).header("x-second", "1");
            request.body(()).unwrap().into_parts().0
        };
        let mut reservation = memory.reservation(None);
        let head = request(1_000);
        reservation.add_head(&head).unwrap();
        let counted = memory.counters.all.bytes();
        let texts = "http".len() + "a.example".len() + "/b".len() + "c=d".len();
        let texts = texts + "x-first".len() + 1_000 + "x-second".len() + 1;
        assert!(counted > texts && counted < texts + 1_000, "{counted}");
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"a"}"#);
        reservation.grow(body.len()).unwrap();
        let post = crate::message::parse_with(body.clone(), 0, |body| body).unwrap();
        let post = reservation.attach(post, &Arc::new(head));
        assert_eq!(memory.counters.all.bytes(), counted + body.len());
        drop(post);
        assert_eq!(memory.counters.all.bytes(), 0);

        let mut reservations: Vec<_> = (0..16).map(|_| memory.reservation(None)).collect();
        let large = request(MIB);
        let added = reservations.iter_mut().map(|reservation| reservation.add_head(&large));
        let refused = added.filter(Result::is_err).count();
        assert!((2..4).contains(&refused), "{refused} of 16 heads, each of 1 of 16 MiB");
        let mut small = memory.reservation(None);
        assert_eq!(small.add_head(&request(1_000)), Ok(()), "an eighth is for small ones");
    }

    #[test]
    fn head_leaves_the_memory_for_the_largest_body() {
        let memory = RequestMemory::new(MIB, MIB, RequestCounters::default());
        let head = http::Request::builder().header("a", "b").body(()).unwrap().into_parts().0;
        let mut reservation = memory.reservation_in(&Arc::default(), MIB);
        assert_eq!(reservation.add_head(&head), Ok(()));
        assert_eq!(reservation.grow(MIB), Ok(()));
        assert_eq!(
            memory.reservation_in(&Arc::default(), MIB).add_head(&head),
            Err(MemoryExhausted)
        );
    }

    #[test]
    fn memory_is_released_with_the_last_body_of_a_batch() {
        let memory = RequestMemory::new(1_000, 1_000, RequestCounters::default());
        let mut reservation = memory.reservation(None);
        reservation.grow(600).unwrap();
        let batch = r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]"#;
        let batch = Bytes::from_static(batch.as_bytes());
        let post = crate::message::parse_with(batch, 2, |body| body).unwrap();
        let (head, ()) = http::Request::new(()).into_parts();
        let post = reservation.attach(post, &Arc::new(head));
        let bodies = post.messages().iter().map(|message| message.body.clone().into_bytes());
        let mut bodies: Vec<_> = bodies.collect();
        drop(post);
        assert_eq!(memory.reservation(None).grow(600), Err(MemoryExhausted));
        let copy = bodies.pop().unwrap().slice(1..2);
        drop(bodies);
        assert_eq!(memory.reservation(None).grow(600), Err(MemoryExhausted));
        drop(copy);
        assert_eq!(memory.reservation(None).grow(600), Ok(()));
    }
}
