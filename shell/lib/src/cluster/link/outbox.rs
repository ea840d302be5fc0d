//! Frames that wait to be written to a link.

use std::io;

use parking_lot::Mutex;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::Notify,
};

use super::{
    QUEUED_REPLY_BYTES_MAX,
    frame::{self, FrameKind},
};

/// The frames that wait, as bytes. Whoever has one adds it, so that one write sends all that came
/// meanwhile.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Notified when there is something to write.
    filled: Notify,
    /// Notified when all of it was written.
    drained: Notify,
}

/// The bytes are bounded by those who add them: [`super::QUEUED_BYTES_MAX`] and
/// [`QUEUED_REPLY_BYTES_MAX`], and one frame for each thread.
#[derive(Debug, Default)]
struct State {
    queued: Vec<u8>,
    /// Number of bytes that are being written.
    writing: usize,
}

/// Capacity that is kept for later frames.
const CAPACITY_KEPT: usize = 64 << 10;

impl Outbox {
    /// Adds a frame whose payload `write` appends, of at most `payload_max` bytes. Returns whether it was
    /// not larger.
    pub(super) fn push(
        &self,
        call: u64,
        kind: FrameKind,
        payload_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let is_written =
            frame::write(call, kind, payload_max, &mut self.state.lock().queued, write);
        self.filled.notify_one();
        is_written
    }

    /// Returns the number of bytes that are not written yet.
    pub(super) fn bytes(&self) -> usize {
        let state = self.state.lock();
        state.queued.len().saturating_add(state.writing)
    }

    pub(super) fn has_room_for_replies(&self) -> bool {
        self.bytes() < QUEUED_REPLY_BYTES_MAX
    }

    /// Waits until there is room for replies.
    pub(super) async fn room_for_replies(&self) {
        loop {
            let drained = self.drained.notified();
            if self.has_room_for_replies() {
                return;
            }
            drained.await;
        }
    }

    /// Writes frames as they come, until that fails.
    pub(super) async fn write_to(&self, mut stream: impl AsyncWrite + Unpin) -> io::Error {
        let mut bytes = Vec::new();
        loop {
            self.filled.notified().await;
            {
                let mut state = self.state.lock();
                std::mem::swap(&mut bytes, &mut state.queued);
                state.writing = bytes.len();
            }
            if let Err(error) = stream.write_all(&bytes).await {
                return error;
            }
            bytes.clear();
            bytes.shrink_to(CAPACITY_KEPT);
            self.state.lock().writing = 0;
            self.drained.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn replies_wait_until_the_link_has_room() {
        let outbox = Arc::new(Outbox::default());
        let (near, mut far) = tokio::io::duplex(1_000);
        let writer = Arc::clone(&outbox);
        let writing = tokio::spawn(async move { writer.write_to(near).await });
        let reply = vec![1; QUEUED_REPLY_BYTES_MAX];
        outbox.push(1, FrameKind::Reply, reply.len(), |out| out.extend_from_slice(&reply));
        let room = tokio::time::timeout(Duration::from_secs(1), outbox.room_for_replies()).await;
        assert!(room.is_err(), "nobody reads");
        let mut bytes = vec![0; outbox.bytes()];
        assert_eq!(bytes.len(), reply.len() + 13);
        far.read_exact(&mut bytes).await.unwrap();
        outbox.room_for_replies().await;
        assert_eq!(outbox.bytes(), 0);
        drop(far);
        outbox.push(1, FrameKind::Ping, 0, |_| {});
        writing.await.unwrap();
    }
}
