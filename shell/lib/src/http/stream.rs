//! SSE responses.

#[cfg(feature = "store")]
use std::time::Duration;
use std::{future::poll_fn, task::Poll};

use http::{HeaderName, HeaderValue, Response, header};

use super::{
    CredentialExpiry, body::ResponseBody, config::HttpConfig, session::AnyConnection, sse,
    unanswered::Unanswered,
};
use crate::SseEvent;
#[cfg(feature = "store")]
use crate::clock;

/// The header that disables response buffering in nginx.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Disables caching and compression: a proxy that compresses may delay events.
///
/// Specification: RFC 9111, 5.2.2.5 and 5.2.2.6.
pub(super) const CACHE_CONTROL: &str = "no-store, no-transform";

/// Returns a response with events that were read from a connection, and all further ones. Requests that
/// are unanswered get errors if the connection is lost before.
pub(super) fn streaming_response(
    events: &[SseEvent],
    connection: (AnyConnection, Option<Unanswered>),
    config: &HttpConfig,
    expiry: Option<&CredentialExpiry>,
) -> Response<ResponseBody> {
    event_stream(ResponseBody::events(events, connection, config, expiry))
}

/// Returns a response with all events of a connection that has ended.
pub(super) fn complete_response(events: &[SseEvent]) -> Response<ResponseBody> {
    event_stream(ResponseBody::full(sse::write(events)))
}

/// Takes events that are ready, now or after a few yields to other tasks, so that a quick response
/// is sent in one write. With a store, waits for the first ones. Returns whether there can be more.
pub(super) async fn poll_briefly(
    connection: &mut AnyConnection,
    events: &mut Vec<SseEvent>,
) -> bool {
    #[cfg(feature = "store")]
    if connection.commits() {
        let first = poll_fn(|cx| connection.poll_small_events(cx, events));
        return clock::timeout(COMMIT_TIMEOUT, first).await.unwrap_or(true);
    }
    for _ in 0..BRIEF_YIELDS {
        if !take_ready(connection, events).await {
            return false;
        }
        tokio::task::yield_now().await;
    }
    take_ready(connection, events).await
}

/// Time after which a response begins without an event, because the store is slow or away.
#[cfg(feature = "store")]
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Number of yields: a service of rmcp needs that many for a quick response.
const BRIEF_YIELDS: usize = 4;

/// Takes events that are ready, except large messages, without waiting. Returns whether there can
/// be more.
pub(super) async fn take_ready(connection: &mut AnyConnection, events: &mut Vec<SseEvent>) -> bool {
    poll_fn(|cx| match connection.poll_small_events(cx, events) {
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
