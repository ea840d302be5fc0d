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
    heard: Heard,
}

/// What the child has heard.
enum Heard {
    Nothing,
    One(Bytes),
    More,
}

impl Stdin {
    pub(super) fn new(pipe: ChildStdin) -> Self {
        Self { pipe: Some(pipe), message: nothing(), heard: Heard::Nothing }
    }

    fn put(&mut self, message: Bytes) {
        self.heard = match self.heard {
            // A copy, since the message counts as received until it is written.
            Heard::Nothing if message.len() <= KEPT_BYTES_MAX => {
                Heard::One(Bytes::copy_from_slice(&message))
            }
            Heard::Nothing | Heard::One(_) | Heard::More => Heard::More,
        };
        self.message = message.chain(LINE_END);
    }

    /// Tells the child what its session hears, until that ends. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The child cannot be told.
    pub(super) async fn tell(&mut self, inbox: &mut ClientMessages) -> io::Result<()> {
        loop {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            pipe.write_all_buf(&mut self.message).await?;
            // The message counts as received until its memory is released.
            self.message = nothing();
            let Some(message) = inbox.recv().await else { return Ok(()) };
            self.put(message);
        }
    }

    /// Returns the message that the child has heard, if it is the only one.
    pub(super) fn only_message(&self) -> Option<Bytes> {
        match &self.heard {
            Heard::One(message) if !self.message.has_remaining() => Some(message.clone()),
            Heard::One(_) | Heard::Nothing | Heard::More => None,
        }
    }

    pub(super) fn close(&mut self) {
        self.pipe = None;
    }
}

/// Returns a message of which everything is written.
fn nothing() -> Chain<Bytes, &'static [u8]> {
    Bytes::new().chain(&[])
}
