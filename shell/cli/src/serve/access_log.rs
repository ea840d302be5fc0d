//! Access log: one line per request.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Method, Response};
use http_body::{Body, Frame, SizeHint};
use rejoin::SessionId;
use tokio::time::Instant;

/// Maximum number of characters of a path in the log.
const PATH_CHARS_MAX: usize = 200;

/// The log line of a request. Written when it is dropped: after the response was sent, or when the
/// client has disconnected.
pub(super) struct AccessLogEntry {
    method: Method,
    path: String,
    session: Option<SessionId>,
    status: u16,
    started_at: Instant,
}

impl AccessLogEntry {
    /// Starts the entry of a request.
    pub(super) fn new<B>(request: &http::Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            path: request.uri().path().chars().take(PATH_CHARS_MAX).collect(),
            session: parse_session_id(request.headers()),
            status: 0,
            started_at: Instant::now(),
        }
    }

    /// Attaches the entry to the response, so that it is written when the body ends.
    pub(super) fn attach_to<B>(mut self, response: Response<B>) -> Response<LoggedBody<B>> {
        self.status = response.status().as_u16();
        self.session = self.session.or_else(|| parse_session_id(response.headers()));
        response.map(|body| LoggedBody { body, _entry: self })
    }
}

/// Returns the session that a request or a response names.
pub(super) fn parse_session_id(headers: &HeaderMap) -> Option<SessionId> {
    headers.get("mcp-session-id")?.to_str().ok()?.parse().ok()
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let session = self.session.map(|session| tracing::field::display(session.short()));
        let (method, path, status) = (&self.method, &self.path, self.status);
        let duration = self.started_at.elapsed();
        tracing::debug!(%method, ?path, status, ?duration, session, "request");
    }
}

/// A response body that writes its log line when it is dropped.
pub(super) struct LoggedBody<B> {
    body: B,
    _entry: AccessLogEntry,
}

impl<B: Body + Unpin> Body for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
