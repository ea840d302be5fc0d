//! Receiving the body of a request: bounded in size and in time.

use std::{error::Error, future::poll_fn, pin::pin, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;

use super::{
    memory::{NoMemory, Share},
    refusal::Refusal,
};

/// How much memory a body gets before it has come, in bytes.
const FIRST_BYTES: usize = 16 << 10;

/// Why a body was not received.
#[derive(Debug)]
pub(super) enum NotReceived {
    /// It is larger than it may be.
    TooLarge,
    Refused(Refusal),
}

/// Receives a whole body. One that says that it is too large is not received at all.
pub(super) async fn receive<B>(
    body: B,
    bytes_max: usize,
    timeout: Duration,
    share: &mut Share,
) -> Result<Bytes, NotReceived>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let bytes_max_u64 = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if body.size_hint().lower() > bytes_max_u64 {
        return Err(NotReceived::TooLarge);
    }
    match tokio::time::timeout(timeout, collect(body, bytes_max, share)).await {
        Ok(received) => received,
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the body took too long to come")),
    }
}

/// Copies what comes: a part of a body that is kept as it came would keep all that was
/// read from the connection with it.
async fn collect<B>(body: B, bytes_max: usize, share: &mut Share) -> Result<Bytes, NotReceived>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    share.declare(declared);
    let mut all = BytesMut::with_capacity(declared.min(FIRST_BYTES));
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| {
            let error: Box<dyn Error + Send + Sync> = error.into();
            refused(StatusCode::BAD_REQUEST, &format!("the body broke off: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if data.remaining() > bytes_max - all.len() {
            return Err(NotReceived::TooLarge);
        }
        share.take(data.remaining()).map_err(|NoMemory| {
            let message = "too much is being received at the moment";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message);
            NotReceived::Refused(refusal.retry_after(1))
        })?;
        all.put(data);
    }
    Ok(all.freeze())
}

fn refused(status: StatusCode, message: &str) -> NotReceived {
    NotReceived::Refused(Refusal::new(status, message))
}
