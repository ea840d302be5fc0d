//! Reading of frames.

use std::io;

use bytes::BytesMut;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::Instant,
};

use super::frame::{self, Frame, FrameError};

/// Reads frames. Its buffer is as large as what was received, at most a frame and what comes with it. After
/// a large frame, it is given back as soon as nothing else is in it.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    /// Whether it had a large frame: a part of it has the whole capacity.
    was_large: bool,
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

/// Size of the payload of a large frame.
const LARGE_BYTES: usize = 64 << 10;

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(stream: R, payload_max: usize) -> Self {
        let (buffer, was_large) = (BytesMut::new(), false);
        Self { stream, buffer, was_large, payload_max, received_at: Instant::now() }
    }

    /// Returns when something was received last.
    pub(super) fn received_at(&self) -> Instant {
        self.received_at
    }

    /// Returns the next frame. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Frame, ReadError> {
        loop {
            if let Some(frame) = frame::read(&mut self.buffer, self.payload_max)? {
                self.was_large |= frame.payload.len() >= LARGE_BYTES;
                return Ok(frame);
            }
            if self.was_large && self.buffer.is_empty() {
                (self.buffer, self.was_large) = (BytesMut::new(), false);
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ReadError::End);
            }
            self.received_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::{super::frame::FrameKind, *};

    #[tokio::test]
    async fn the_memory_of_a_large_frame_is_given_back() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let mut reader = FrameReader::new(far, 1 << 20);
        for payload in std::iter::once(1_000_000).chain([1_000; 2_000]) {
            let mut bytes = Vec::new();
            let write = |out: &mut Vec<u8>| out.resize(out.len() + payload, 1);
            frame::write(1, FrameKind::Call, 1 << 20, &mut bytes, write);
            let writing = near.write_all(&bytes);
            let (frame, written) = tokio::join!(reader.next(), writing);
            written.unwrap();
            assert_eq!(frame.unwrap().payload.len(), payload);
            if payload == 1_000 {
                assert!(reader.buffer.capacity() < 100_000, "{}", reader.buffer.capacity());
            }
        }
    }
}
