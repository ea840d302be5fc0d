//! Reading of frames.

use std::io;

use bytes::BytesMut;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::Instant,
};

use super::frame::{self, Frame, FrameError};

/// Reads frames. Its buffer is as large as what was received, at most a frame and what comes with it.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    payload_max: usize,
    received_at: Instant,
}

/// Why there are no more frames.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    #[error("the peer has closed the link")]
    End,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Space in the buffer for what is read next.
const READ_BYTES: usize = 16 << 10;

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(stream: R, payload_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), payload_max, received_at: Instant::now() }
    }

    /// Returns when something was received last.
    pub(super) fn received_at(&self) -> Instant {
        self.received_at
    }

    /// Returns the next frame. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Frame, ReadError> {
        loop {
            if let Some(frame) = frame::read(&mut self.buffer, self.payload_max)? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ReadError::End);
            }
            self.received_at = Instant::now();
        }
    }
}
