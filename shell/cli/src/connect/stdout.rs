//! Messages for the application, written by a thread of their own, because a write to stdout may
//! block.

use std::{
    collections::VecDeque,
    io::{self, Write},
    thread,
};

use bytes::Bytes;
use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot,
};

/// Messages that wait for the thread.
const MESSAGES_MAX: usize = 4;

/// Size of the queue in bytes from which on no more is read, until the application has caught up.
/// One input can exceed it once, by its messages.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// The queue of messages for the application.
#[derive(Debug)]
pub(super) struct Stdout {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// `None` after the application has closed its end.
    sender: Option<Sender<Bytes>>,
    /// Fails when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl Stdout {
    /// Starts to write to stdout.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            if let Err(error) = write(io::stdout().lock(), receiver) {
                tracing::warn!("cannot write to stdout: {error}");
            }
            drop(end);
        })?;
        Ok(Self { queue: VecDeque::new(), bytes: 0, sender: Some(sender), ended })
    }

    /// Queues a message, which must be one line.
    pub(super) fn push(&mut self, message: Bytes) {
        if self.sender.is_some() {
            self.bytes += message.len();
            self.queue.push_back(message);
        }
    }

    /// Returns whether more may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < QUEUE_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Passes the first message to the thread, when that has room. Returns whether the
    /// application reads.
    pub(super) async fn write_next(&mut self) -> bool {
        let Some(sender) = &self.sender else { return false };
        let Ok(permit) = sender.reserve().await else {
            self.queue.clear();
            self.bytes = 0;
            self.sender = None;
            return false;
        };
        if let Some(message) = self.queue.pop_front() {
            self.bytes -= message.len();
            permit.send(message);
        }
        true
    }

    /// Writes everything that is queued.
    pub(super) async fn finish(mut self) {
        while !self.is_empty() && self.write_next().await {}
        // The thread ends when it has written what it has.
        self.sender = None;
        let _ = self.ended.await;
    }
}

fn write(mut output: impl Write, mut messages: Receiver<Bytes>) -> io::Result<()> {
    while let Some(message) = messages.blocking_recv() {
        output.write_all(&message)?;
        output.write_all(b"\n")?;
        if messages.is_empty() {
            output.flush()?;
        }
    }
    output.flush()
}
