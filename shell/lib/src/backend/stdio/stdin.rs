//! Stdin of a child.

use bytes::{Buf as _, Bytes, buf::Chain};
use tokio::{
    io::{self, AsyncWriteExt as _},
    process::ChildStdin,
};

use crate::ClientMessages;

/// Terminator of a message, which does not contain a line break itself.
const LINE_END: &[u8] = b"\n";

/// Maximum size of a message that is kept after it was written, in bytes.
const KEPT_BYTES_MAX: usize = 64 << 10;

pub(super) struct Stdin {
    /// `None` once it is closed.
    pipe: Option<ChildStdin>,
    /// The rest of the message that is being written.
    message: Chain<Bytes, &'static [u8]>,
    written: Written,
}

/// What was written to the child so far.
enum Written {
    Nothing,
    One(Bytes),
    Many,
}

impl Stdin {
    pub(super) fn new(pipe: ChildStdin) -> Self {
        Self { pipe: Some(pipe), message: empty_message(), written: Written::Nothing }
    }

    fn start_message(&mut self, message: Bytes) {
        self.written = match self.written {
            // A copy, since the original counts toward the memory limit until it is dropped.
            Written::Nothing if message.len() <= KEPT_BYTES_MAX => {
                Written::One(Bytes::copy_from_slice(&message))
            }
            Written::Nothing | Written::One(_) | Written::Many => Written::Many,
        };
        self.message = message.chain(LINE_END);
    }

    /// Writes the messages of a session to the child, until the session ends. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The pipe cannot be written, because the child has closed it.
    pub(super) async fn write_messages(&mut self, messages: &mut ClientMessages) -> io::Result<()> {
        loop {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            pipe.write_all_buf(&mut self.message).await?;
            // The message counts toward the memory limit until it is dropped.
            self.message = empty_message();
            let Some(message) = messages.recv().await else { return Ok(()) };
            self.start_message(message.into_bytes());
        }
    }

    /// Returns the message that was written, if there was exactly one.
    pub(super) fn only_message(&self) -> Option<Bytes> {
        match &self.written {
            Written::One(message) if !self.message.has_remaining() => Some(message.clone()),
            Written::One(_) | Written::Nothing | Written::Many => None,
        }
    }

    pub(super) fn close(&mut self) {
        self.pipe = None;
    }
}

/// Returns a message without a rest to write.
fn empty_message() -> Chain<Bytes, &'static [u8]> {
    Bytes::new().chain(&[])
}
