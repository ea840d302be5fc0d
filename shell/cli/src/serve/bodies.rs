//! Request and response bodies that update the [`Activity`] of their connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::activity::Activity;

/// A request body.
#[derive(Debug)]
pub(crate) struct TrackedRequestBody {
    body: Incoming,
    activity: Arc<Activity>,
}

/// A response body.
pub(super) struct TrackedResponseBody<B> {
    body: B,
    activity: Arc<Activity>,
    /// Detects whether a half-closed client is still connected. For event streams only.
    probe: Option<Probe>,
}

/// SSE comments sent to a half-closed client. If it has closed the connection, it responds to
/// the first of them with a reset, and the next write fails.
#[derive(Debug, Default)]
struct Probe {
    sent: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Delay before each probe.
const PROBE_INTERVALS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

const COMMENT: &[u8] = b":\n\n";

impl TrackedRequestBody {
    pub(super) fn new(body: Incoming, activity: Arc<Activity>) -> Self {
        let has_body = !body.is_end_stream();
        activity.on_request_head(has_body);
        if !has_body {
            activity.on_request_complete();
        }
        Self { body, activity }
    }
}

impl Body for TrackedRequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        this.activity.set_awaits_body(frame.is_pending());
        if matches!(frame, Poll::Ready(None)) || this.body.is_end_stream() {
            this.activity.on_request_complete();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> TrackedResponseBody<B> {
    pub(super) fn new(body: B, is_stream: bool, activity: Arc<Activity>) -> Self {
        activity.on_response_started();
        Self { body, activity, probe: is_stream.then(Probe::default) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for TrackedResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match &mut this.probe {
            Some(probe) if frame.is_pending() && this.activity.is_half_closed() => {
                probe.poll(cx).map(|()| Some(Ok(Frame::data(Bytes::from_static(COMMENT)))))
            }
            Some(_) | None => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for TrackedResponseBody<B> {
    fn drop(&mut self) {
        self.activity.on_response_complete();
    }
}

impl Probe {
    /// Becomes ready when the next probe is due. Stays pending after the last one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(interval) = PROBE_INTERVALS.get(self.sent) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(*interval)));
        std::task::ready!(timer.as_mut().poll(cx));
        self.sent += 1;
        self.timer = None;
        Poll::Ready(())
    }
}
