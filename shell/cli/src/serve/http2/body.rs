//! Response bodies whose parts are known until they are written.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::responses::PendingResponse;

/// A response body.
pub(super) struct TrackedBody<B> {
    body: B,
    response: Arc<PendingResponse>,
}

/// A part of a response body. HTTP/2 drops it when it is written, or copied into the small buffer of
/// the connection.
#[derive(Debug)]
pub(super) struct TrackedPart {
    bytes: Bytes,
    response: Arc<PendingResponse>,
}

impl<B> TrackedBody<B> {
    pub(super) fn new(body: B, response: PendingResponse) -> Self {
        Self { body, response: Arc::new(response) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for TrackedBody<B> {
    type Data = TrackedPart;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<TrackedPart>, B::Error>>> {
        let this = self.get_mut();
        let track = |bytes| TrackedPart::new(bytes, Arc::clone(&this.response));
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        frame.map_ok(|frame| frame.map_data(track))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl TrackedPart {
    fn new(bytes: Bytes, response: Arc<PendingResponse>) -> Self {
        response.on_part_added();
        Self { bytes, response }
    }
}

impl Buf for TrackedPart {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.response.on_progress();
    }
}

impl Drop for TrackedPart {
    fn drop(&mut self) {
        self.response.on_part_removed();
    }
}
