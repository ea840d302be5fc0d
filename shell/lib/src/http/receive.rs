//! Reception of request bodies, with limits on size, memory and time.
//!
//! `http_body_util::Limited` would only limit the size: here, the memory for a part of a body is
//! reserved before it is copied.

use std::{error::Error, future::poll_fn, pin::pin, time::Duration};

use bytes::{Buf, BufMut as _, Bytes};
use http::StatusCode;
use http_body::Body;

use super::{
    memory::{MemoryExhausted, Reservation, SMALL_BYTES},
    refusal::Refusal,
};

/// Why a body was not received.
#[derive(Debug)]
pub(super) enum ReceiveError {
    /// The body is larger than the limit.
    TooLarge,
    Refused(Refusal),
}

impl From<MemoryExhausted> for ReceiveError {
    fn from(_: MemoryExhausted) -> Self {
        let message = "request memory exhausted, retry later";
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message);
        Self::Refused(refusal.option("--max-memory").retry_after(1))
    }
}

/// Receives a whole body. A body with a declared length above the limit is not received at all.
pub(super) async fn receive<B>(
    body: B,
    bytes_max: usize,
    timeout: Duration,
    reservation: &mut Reservation,
) -> Result<Bytes, ReceiveError>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let bytes_max_u64 = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if body.size_hint().lower() > bytes_max_u64 {
        return Err(ReceiveError::TooLarge);
    }
    match tokio::time::timeout(timeout, collect(body, bytes_max, reservation)).await {
        Ok(received) => received,
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "timed out reading the request body")),
    }
}

/// Collects a body by copying its frames: a frame shares, and would keep alive, the whole read
/// buffer of its connection.
async fn collect<B>(
    body: B,
    bytes_max: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, ReceiveError>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let hint = body.size_hint();
    let declared = hint.exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    reservation.set_declared_length(usize::try_from(hint.lower()).unwrap_or(usize::MAX));
    let mut received = BodyBuffer { bytes: Vec::new(), declared, reservation };
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| {
            let error: Box<dyn Error + Send + Sync> = error.into();
            refused(StatusCode::BAD_REQUEST, &format!("failed to read the request body: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if data.remaining() > bytes_max - received.bytes.len() {
            return Err(ReceiveError::TooLarge);
        }
        received.put(data)?;
    }
    Ok(received.finish())
}

/// The received part of a body, in memory that is reserved before it is allocated.
struct BodyBuffer<'a> {
    bytes: Vec<u8>,
    /// The declared length of the body.
    declared: Option<usize>,
    reservation: &'a mut Reservation,
}

impl BodyBuffer<'_> {
    fn put(&mut self, data: impl Buf) -> Result<(), MemoryExhausted> {
        let needed = self.bytes.len() + data.remaining();
        if needed > self.bytes.capacity() {
            let capacity = self.capacity_for(needed);
            self.reservation.grow(capacity - self.bytes.capacity())?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.put(data);
        Ok(())
    }

    /// Returns the capacity to allocate for `needed` bytes. A body gets its declared length only
    /// after more than [`SMALL_BYTES`] of it were received.
    fn capacity_for(&self, needed: usize) -> usize {
        let doubled = needed.max(2 * self.bytes.capacity());
        match self.declared {
            Some(declared) if needed > SMALL_BYTES => declared.max(needed),
            Some(declared) => declared.min(SMALL_BYTES).max(needed),
            // A small body must not reserve more than a small message.
            None if needed <= SMALL_BYTES => doubled.min(SMALL_BYTES),
            None => doubled,
        }
    }

    /// Returns the body, after releasing excess memory.
    fn finish(mut self) -> Bytes {
        let unused = self.bytes.capacity() - self.bytes.len();
        self.bytes.shrink_to_fit();
        self.reservation.shrink(unused);
        self.bytes.into()
    }
}

fn refused(status: StatusCode, message: &str) -> ReceiveError {
    ReceiveError::Refused(Refusal::new(status, message))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body::{Frame, SizeHint};

    use super::{super::memory::RequestMemory, *};
    use crate::byte_counter::RequestCounters;

    const MIB: usize = 1 << 20;

    /// A body whose frames have the given sizes, and which may declare its length.
    struct Frames {
        bytes: usize,
        frame_bytes: usize,
        is_declared: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let frame = self.bytes.min(self.frame_bytes);
            self.bytes -= frame;
            Poll::Ready((frame > 0).then(|| Ok(Frame::data(vec![b'x'; frame].into()))))
        }

        fn size_hint(&self) -> SizeHint {
            let declared = u64::try_from(self.bytes).unwrap();
            if self.is_declared { SizeHint::with_exact(declared) } else { SizeHint::default() }
        }
    }

    /// Receives a body, and returns its capacity and the memory that is reserved for it.
    async fn memory_of(body: Frames) -> (usize, usize) {
        let mut reservation =
            RequestMemory::new(64 * MIB, 4 * MIB, RequestCounters::default()).reservation(None);
        let received = receive(body, 4 * MIB, Duration::MAX, &mut reservation).await.unwrap();
        let capacity = Vec::from(received).capacity();
        (capacity, reservation.bytes())
    }

    #[tokio::test]
    async fn a_body_has_no_excess_memory() {
        for bytes in [1, 1_000, 20_000, 2_100_000, 4 * MIB] {
            for frame_bytes in [700, 8 << 10, 4 * MIB] {
                for is_declared in [true, false] {
                    let body = Frames { bytes, frame_bytes, is_declared };
                    assert_eq!(memory_of(body).await, (bytes, bytes), "{frame_bytes}");
                }
            }
        }
    }

    #[tokio::test]
    async fn memory_is_reserved_before_it_is_allocated() {
        let memory = RequestMemory::new(64 * MIB, 4 * MIB, RequestCounters::default());
        for (declared, received_bytes, reserved) in [
            (Some(4 * MIB), SMALL_BYTES, SMALL_BYTES),
            (Some(4 * MIB), SMALL_BYTES + 1, 4 * MIB),
            (Some(1_000), 1, 1_000),
            (None, SMALL_BYTES / 2 + 2, SMALL_BYTES),
            (None, SMALL_BYTES + 2, 2 * SMALL_BYTES + 2),
        ] {
            let mut reservation = memory.reservation(None);
            let mut received =
                BodyBuffer { bytes: Vec::new(), declared, reservation: &mut reservation };
            let (most, last) = (received_bytes - 1, 1);
            received.put(&*vec![0; most]).unwrap();
            received.put(&*vec![0; last]).unwrap();
            let capacity = received.bytes.capacity();
            assert_eq!(
                (capacity, reservation.bytes()),
                (reserved, reserved),
                "{declared:?} {received_bytes}"
            );
        }
    }
}
