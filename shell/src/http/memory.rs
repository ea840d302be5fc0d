//! The memory of messages that clients send: from the first byte that is received until
//! the backend has taken the message.

use std::sync::Arc;

use bytes::Bytes;
use rejoin_core::{Message, Post};

use crate::{SessionHandle, account::Account};

/// How much of a body counts as small, in bytes.
const SMALL_BYTES: usize = 16 << 10;

/// The memory for all messages of clients, so that many clients together cannot take more
/// than is allowed, and none of them can take it from all others:
///
/// - those without a session have a quarter of it,
/// - so has each session, and at least room for one message,
/// - large messages leave an eighth of it to small ones.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    /// How large one message may be.
    message_bytes_max: usize,
    all: Arc<Account>,
    strangers: Arc<Account>,
}

/// What one message takes of the memory.
#[derive(Debug)]
pub(super) struct Share {
    all: Arc<Account>,
    /// Of the session, or of all clients without one.
    group: Arc<Account>,
    group_bytes_max: usize,
    small_bytes_max: usize,
    large_bytes_max: usize,
    bytes: usize,
}

/// There is no memory for a message at the moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

impl Memory {
    pub(super) fn new(bytes_max: usize, message_bytes_max: usize) -> Self {
        let (all, strangers) = Default::default();
        Self { bytes_max, message_bytes_max, all, strangers }
    }

    pub(super) fn share(&self, session: Option<&SessionHandle>) -> Share {
        self.share_of(session.map_or(&self.strangers, SessionHandle::received))
    }

    fn share_of(&self, group: &Arc<Account>) -> Share {
        Share {
            all: Arc::clone(&self.all),
            group: Arc::clone(group),
            group_bytes_max: (self.bytes_max / 4).max(self.message_bytes_max),
            small_bytes_max: self.bytes_max,
            large_bytes_max: (self.bytes_max - self.bytes_max / 8).max(self.message_bytes_max),
            bytes: 0,
        }
    }
}

impl Share {
    /// Takes memory for bytes that have come.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let is_small = self.bytes.saturating_add(bytes) <= SMALL_BYTES;
        let all_max = if is_small { self.small_bytes_max } else { self.large_bytes_max };
        if !self.group.take(bytes, self.group_bytes_max) {
            return Err(NoMemory);
        }
        if !self.all.take(bytes, all_max) {
            self.group.give_back(bytes);
            return Err(NoMemory);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Attaches the share to the messages that were received: it is given back when the
    /// last of their bodies is dropped.
    pub(super) fn attach(self, post: Post<Bytes>) -> Post<Bytes> {
        let share = Arc::new(self);
        let attach = |message: Message<Bytes>| {
            let charged = Charged { bytes: message.body, _share: Arc::clone(&share) };
            Message { body: Bytes::from_owner(charged), ..message }
        };
        match post {
            Post::Single(message) => Post::Single(attach(message)),
            Post::Batch(messages) => Post::Batch(messages.into_iter().map(attach).collect()),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.give_back(self.bytes);
        self.group.give_back(self.bytes);
    }
}

/// A body, with the share of memory that it takes.
struct Charged {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Charged {
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
        let memory = Memory::new(64 * MIB, 4 * MIB);
        let mut strangers: Vec<_> = (0..16).map(|_| memory.share(None)).collect();
        for stranger in &mut strangers {
            stranger.take(MIB).unwrap();
        }
        assert_eq!(memory.share(None).take(1), Err(NoMemory));
        strangers.pop();
        assert_eq!(memory.share(None).take(1), Ok(()));
    }

    #[test]
    fn large_messages_leave_memory_to_small_ones() {
        let memory = Memory::new(64 * MIB, 4 * MIB);
        let session = || memory.share_of(&Arc::default());
        let large: Vec<_> = (0..14)
            .map(|_| {
                let mut share = session();
                share.take(4 * MIB).unwrap();
                share
            })
            .collect();
        assert_eq!(session().take(MIB), Err(NoMemory));
        assert_eq!(session().take(SMALL_BYTES), Ok(()));
        drop(large);
        assert_eq!(session().take(MIB), Ok(()));
    }

    #[test]
    fn a_share_is_given_back_with_the_last_body_of_its_batch() {
        let memory = Memory::new(1_000, 1_000);
        let mut share = memory.share(None);
        share.take(600).unwrap();
        let batch = r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]"#;
        let post = crate::parse(Bytes::from_static(batch.as_bytes()), 2).unwrap();
        let post = share.attach(post);
        let mut bodies: Vec<_> = post.messages().iter().map(|m| m.body.clone()).collect();
        drop(post);
        assert_eq!(memory.share(None).take(600), Err(NoMemory));
        let copy = bodies.pop().unwrap().slice(1..2);
        drop(bodies);
        assert_eq!(memory.share(None).take(600), Err(NoMemory));
        drop(copy);
        assert_eq!(memory.share(None).take(600), Ok(()));
    }
}
