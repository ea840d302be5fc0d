//! Receiving the body of a request: bounded in size and in time.

use std::{
    error::Error,
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;

use super::refusal::Refusal;

/// The memory for all bodies that are being received, so that many clients together
/// cannot take more than one alone should.
#[derive(Debug)]
pub(super) struct Memory {
    left: AtomicUsize,
}

/// What one body takes of it.
struct Share<'a> {
    memory: &'a Memory,
    taken: usize,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    fn share(&self) -> Share<'_> {
        Share { memory: self, taken: 0 }
    }
}

impl Share<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let take = |left: usize| left.checked_sub(bytes);
        if self.memory.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            let message = "too much is being received at the moment";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(1));
        }
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.memory.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

/// Receives a whole body. One that says that it is too large is not received at all.
pub(super) async fn receive<B>(
    body: B,
    bytes_max: usize,
    timeout: Duration,
    memory: &Memory,
) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let bytes_max_u64 = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if body.size_hint().lower() > bytes_max_u64 {
        return Err(too_large(bytes_max));
    }
    match tokio::time::timeout(timeout, collect(body, bytes_max, memory)).await {
        Ok(received) => received,
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to come")),
    }
}

async fn collect<B>(body: B, bytes_max: usize, memory: &Memory) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut share = memory.share();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| {
            let error: Box<dyn Error + Send + Sync> = error.into();
            Refusal::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))
        })?;
        let Ok(mut data) = frame.into_data() else { continue };
        let length = data.remaining();
        if first.len() + all.len() + length > bytes_max {
            return Err(too_large(bytes_max));
        }
        share.take(length)?;
        if first.is_empty() && all.is_empty() {
            first = data.copy_to_bytes(length);
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            while data.has_remaining() {
                let chunk = data.chunk();
                all.extend_from_slice(chunk);
                let length = chunk.len();
                data.advance(length);
            }
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn too_large(bytes_max: usize) -> Refusal {
    let message = format!("the body is larger than {bytes_max} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}
