//! Frames that wait to be written to a link.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::Notify,
    time::Instant,
};

use super::{
    QUEUED_REPLY_BYTES_MAX, UNREAD_BYTES_MAX,
    frame::{self, FrameKind},
};

/// The frames that wait, as bytes. Whoever has one adds it, so that one write sends all that came
/// meanwhile.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Notified when there is something to write.
    filled: Notify,
    /// Notified when all of it was written.
    drained: Notify,
    /// The bytes that wait here, and in others.
    all: QueuedBytes,
}

/// Number of bytes that wait in several outboxes.
#[derive(Clone, Debug, Default)]
pub(super) struct QueuedBytes(Arc<AtomicUsize>);

/// The bytes are bounded by those who add them. At the ingress, calls are refused at
/// [`super::QUEUED_CALL_BYTES_MAX`]; the other frames are small, a few for each call. At the owner, events
/// wait at [`QUEUED_REPLY_BYTES_MAX`], and everything else at [`UNREAD_BYTES_MAX`]. On top of that is one
/// frame for each thread.
#[derive(Debug)]
struct State {
    queued: Vec<u8>,
    /// Number of bytes that are being written.
    writing: usize,
    /// When something was written last.
    written_at: Instant,
    /// Whether nothing is written any more.
    is_closed: bool,
}

/// Capacity that is kept for later frames.
const CAPACITY_KEPT: usize = 64 << 10;

impl Outbox {
    /// Creates an outbox whose bytes are counted with those of others.
    pub(super) fn new(all: QueuedBytes) -> Self {
        let state =
            State { queued: Vec::new(), writing: 0, written_at: Instant::now(), is_closed: false };
        Self { state: Mutex::new(state), filled: Notify::new(), drained: Notify::new(), all }
    }

    /// Adds a frame whose payload `write` appends, of at most `payload_max` bytes. Returns whether it was
    /// not larger. Once it is closed, frames are dropped.
    pub(super) fn push(
        &self,
        call: u64,
        kind: FrameKind,
        payload_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let is_written = {
            let mut state = self.state.lock();
            if state.is_closed {
                return true;
            }
            let before = state.queued.len();
            let is_written = frame::write(call, kind, payload_max, &mut state.queued, write);
            self.all.add(state.queued.len().saturating_sub(before));
            is_written
        };
        self.filled.notify_one();
        is_written
    }

    /// Drops what was not written, because the link was cut.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        self.all.subtract(state.bytes());
        state.queued = Vec::new();
        state.writing = 0;
        state.is_closed = true;
    }

    /// Returns the number of bytes that are not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes()
    }

    /// Returns when something was written last.
    pub(super) fn written_at(&self) -> Instant {
        self.state.lock().written_at
    }

    pub(super) fn has_room_for_replies(&self) -> bool {
        self.bytes() < QUEUED_REPLY_BYTES_MAX
    }

    /// Waits until there is room for replies.
    pub(super) async fn room_for_replies(&self) {
        self.fewer_bytes(QUEUED_REPLY_BYTES_MAX).await;
    }

    /// Returns whether there is room for what is replied to what was not read yet.
    pub(super) fn has_room_for_unread(&self) -> bool {
        self.bytes() < UNREAD_BYTES_MAX
    }

    /// Waits until there is room for what is replied to what was not read yet.
    pub(super) async fn room_for_unread(&self) {
        self.fewer_bytes(UNREAD_BYTES_MAX).await;
    }

    async fn fewer_bytes(&self, max: usize) {
        loop {
            let drained = self.drained.notified();
            if self.bytes() < max {
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
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let written = match stream.write(rest).await {
                    Ok(0) => return io::ErrorKind::WriteZero.into(),
                    Ok(written) => written,
                    Err(error) => return error,
                };
                rest = rest.get(written..).unwrap_or_default();
                self.on_written(written);
            }
            bytes.clear();
            bytes.shrink_to(CAPACITY_KEPT);
            self.drained.notify_waiters();
        }
    }

    fn on_written(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.writing = state.writing.saturating_sub(bytes);
        state.written_at = Instant::now();
        self.all.subtract(bytes);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.queued.len().saturating_add(self.writing)
    }
}

impl QueuedBytes {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn replies_wait_until_the_link_has_room() {
        let all = QueuedBytes::default();
        let outbox = Arc::new(Outbox::new(all.clone()));
        let (near, mut far) = tokio::io::duplex(1_000);
        let writer = Arc::clone(&outbox);
        let writing = tokio::spawn(async move { writer.write_to(near).await });
        let reply = vec![1; QUEUED_REPLY_BYTES_MAX];
        outbox.push(1, FrameKind::Reply, reply.len(), |out| out.extend_from_slice(&reply));
        assert_eq!((all.get(), outbox.bytes()), (reply.len() + 13, reply.len() + 13));
        let room = tokio::time::timeout(Duration::from_secs(1), outbox.room_for_replies()).await;
        assert!(room.is_err(), "nobody reads");
        let mut bytes = vec![0; reply.len() + 13];
        far.read_exact(&mut bytes).await.unwrap();
        outbox.room_for_replies().await;
        assert_eq!((all.get(), outbox.bytes()), (0, 0));
        drop(far);
        outbox.push(1, FrameKind::Ping, 0, |_| {});
        writing.await.unwrap();
        assert_eq!(all.get(), 13);
        drop(outbox);
        assert_eq!(all.get(), 0);
    }

    #[tokio::test]
    async fn what_waits_for_a_link_that_was_cut_is_dropped() {
        let all = QueuedBytes::default();
        let outbox = Outbox::new(all.clone());
        let add = || outbox.push(1, FrameKind::Call, 100, |out| out.extend_from_slice(&[1; 100]));
        assert!(add());
        assert!(all.get() > 100);
        outbox.close();
        assert!(add());
        assert_eq!((all.get(), outbox.bytes()), (0, 0));
    }
}
