//! Responses that are streams of events.

use std::{future::poll_fn, task::Poll};

use http::{HeaderName, HeaderValue, Response, header};

use super::{body::ResponseBody, config::HttpConfig, sse};
use crate::{Connection, SseEvent};

/// Tells a proxy in between whether to keep events back, to pass on more of them at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Nobody keeps an answer, and nobody compresses it: who does may hold events back until
/// there are enough of them.
///
/// Specification: RFC 9111, 5.2.2.5 and 5.2.2.6.
pub(super) const CACHE_CONTROL: &str = "no-store, no-transform";

/// Answers with what was taken of a connection, and what will come.
pub(super) fn streaming_response(
    taken: &[SseEvent],
    connection: Connection,
    settings: &HttpConfig,
) -> Response<ResponseBody> {
    event_stream(ResponseBody::events(taken, connection, settings))
}

/// Answers with all that there was.
pub(super) fn complete_response(taken: &[SseEvent]) -> Response<ResponseBody> {
    event_stream(ResponseBody::full(sse::write(taken)))
}

/// Takes what is there, or comes before others have had their turn: an answer that is
/// quick goes out in one write. Returns whether more may come.
pub(super) async fn poll_briefly(connection: &mut Connection, taken: &mut Vec<SseEvent>) -> bool {
    for _ in 0..BRIEF_YIELDS {
        if !take_ready(connection, taken).await {
            return false;
        }
        tokio::task::yield_now().await;
    }
    take_ready(connection, taken).await
}

/// How many turns of others a quick answer takes: a service of rmcp needs as many.
const BRIEF_YIELDS: usize = 4;

/// Takes what is there, but for large messages, and does not wait for more. Returns whether
/// more may come.
pub(super) async fn take_ready(connection: &mut Connection, taken: &mut Vec<SseEvent>) -> bool {
    poll_fn(|cx| match connection.poll_small_events(cx, taken) {
        Poll::Ready(more) => Poll::Ready(more),
        Poll::Pending => Poll::Ready(true),
    })
    .await
}

fn event_stream(body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE_CONTROL));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
