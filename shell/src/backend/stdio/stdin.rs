//! The stdin of a child.

use bytes::{Buf as _, Bytes, buf::Chain};
use tokio::{
    io::{self, AsyncWriteExt as _},
    process::ChildStdin,
};

use crate::Inbox;

/// The end of each message, which has no line break in it.
const LINE_END: &[u8] = b"\n";

pub(super) struct Stdin {
    /// `None` once it is closed.
    pipe: Option<ChildStdin>,
    /// What is left of the message that is being written.
    message: Chain<Bytes, &'static [u8]>,
}

impl Stdin {
    pub(super) fn new(pipe: ChildStdin) -> Self {
        Self { pipe: Some(pipe), message: Bytes::new().chain(&[]) }
    }

    /// Tells the child what its session hears, until that ends. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The child cannot be told.
    pub(super) async fn tell(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        loop {
            pipe.write_all_buf(&mut self.message).await?;
            let Some(message) = inbox.recv().await else { return Ok(()) };
            self.message = message.chain(LINE_END);
        }
    }

    pub(super) fn close(&mut self) {
        self.pipe = None;
    }
}
