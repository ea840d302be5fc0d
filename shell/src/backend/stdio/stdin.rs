//! The stdin of a child.

use bytes::{Buf as _, Bytes, buf::Chain};
use tokio::{
    io::{self, AsyncWriteExt as _},
    process::ChildStdin,
};

use crate::ClientMessages;

/// The end of each message, which has no line break in it.
const LINE_END: &[u8] = b"\n";

/// The largest message that is kept after it was written.
const KEPT_BYTES_MAX: usize = 64 << 10;

pub(super) struct Stdin {
    /// `None` once it is closed.
    pipe: Option<ChildStdin>,
    /// What is left of the message that is being written.
    message: Chain<Bytes, &'static [u8]>,
    written: Written,
}

/// What the child has heard.
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
            // A copy, since the message counts as received until it is written.
            Written::Nothing if message.len() <= KEPT_BYTES_MAX => {
                Written::One(Bytes::copy_from_slice(&message))
            }
            Written::Nothing | Written::One(_) | Written::Many => Written::Many,
        };
        self.message = message.chain(LINE_END);
    }

    /// Tells the child what its session hears, until that ends. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The child cannot be told.
    pub(super) async fn write_messages(&mut self, messages: &mut ClientMessages) -> io::Result<()> {
        loop {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            pipe.write_all_buf(&mut self.message).await?;
            // The message counts as received until its memory is released.
            self.message = empty_message();
            let Some(message) = messages.recv().await else { return Ok(()) };
            self.start_message(message);
        }
    }

    /// Returns the message that the child has heard, if it is the only one.
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

/// Returns a message of which everything is written.
fn empty_message() -> Chain<Bytes, &'static [u8]> {
    Bytes::new().chain(&[])
}
