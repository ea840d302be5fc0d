//! Deliberate bugs in the handling of requests and response heads.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use rejoin::StreamableHttp;
use rejoin_tests::kit::DeliberateBug;
use serde_json::Value;
use tower_service::Service;

use super::body::{BuggyBody, State};
use super::has;

/// The service, with a deliberate bug.
#[derive(Clone, Debug)]
pub(crate) struct BuggyService {
    service: StreamableHttp,
    bug: Option<DeliberateBug>,
    state: Arc<Mutex<State>>,
}

/// A bug affects one in this many requests.
const EVERY: u64 = 17;

impl BuggyService {
    /// Wraps a service, with a bug if there is one; `same_session` keeps misrouted events in their
    /// session.
    pub(crate) fn new(
        service: StreamableHttp,
        bug: Option<DeliberateBug>,
        same_session: bool,
    ) -> Self {
        Self { service, bug, state: Arc::new(Mutex::new(State::new(same_session))) }
    }
}

impl Service<Request<Incoming>> for BuggyService {
    type Response = Response<BuggyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Incoming>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let session = request.headers().get("mcp-session-id").cloned();
        let Some((bug, session)) = self.bug.zip(session) else {
            let (response, state) = (self.service.call(request), Arc::clone(&self.state));
            return Box::pin(async move {
                Ok(response.await?.map(|body| BuggyBody::unaltered(body, state)))
            });
        };
        let this = self.clone();
        Box::pin(async move { this.serve(request, bug, session).await })
    }
}

impl BuggyService {
    async fn serve(
        mut self,
        request: Request<Incoming>,
        bug: DeliberateBug,
        session: HeaderValue,
    ) -> Result<Response<BuggyBody>, Infallible> {
        let (head, body) = request.into_parts();
        // An incomplete body means that the client has closed the connection.
        let mut body =
            body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_post = head.method == Method::POST;
        let is_call = is_post && has(&body, "tools/call");
        let is_note = is_post && !is_call && has(&body, "jsonrpc");
        let is_concerned = matches!(bug, DeliberateBug::DeniesSession | DeliberateBug::Panics)
            || is_note && matches!(bug, DeliberateBug::DropsPost | DeliberateBug::DuplicatesPost)
            || is_call && bug == DeliberateBug::DropsRequest;
        let is_nth = is_concerned && self.state.lock().is_nth(EVERY);
        assert!(!(is_nth && bug == DeliberateBug::Panics), "deliberate panic");
        if is_nth && bug == DeliberateBug::DropsPost {
            return Ok(self.empty(StatusCode::ACCEPTED));
        }
        if is_nth && bug == DeliberateBug::DeniesSession {
            return Ok(self.empty(StatusCode::NOT_FOUND));
        }
        if is_nth && bug == DeliberateBug::DuplicatesPost {
            let first = Request::from_parts(head.clone(), Full::new(body.clone()));
            self.service.call(first).await?;
        }
        let is_call = is_nth && bug == DeliberateBug::DropsRequest;
        let notification = is_call.then(|| without_id(&body)).flatten();
        let is_dropped = notification.is_some();
        body = notification.unwrap_or(body);
        let response = self.service.call(Request::from_parts(head, Full::new(body))).await?;
        if is_dropped && response.status() == StatusCode::ACCEPTED {
            let mut response = self.empty(StatusCode::OK);
            let stream = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, stream);
            return Ok(response);
        }
        let is_refused =
            response.status().is_client_error() && response.status() != StatusCode::NOT_FOUND;
        if bug == DeliberateBug::AcceptsInvalid && is_refused {
            return Ok(self.empty(StatusCode::ACCEPTED));
        }
        let content = response.headers().get(header::CONTENT_TYPE);
        let is_stream = content.is_some_and(|content| content == "text/event-stream");
        let state = Arc::clone(&self.state);
        Ok(response.map(|body| {
            if is_stream {
                BuggyBody::new(body, state, bug, session)
            } else {
                BuggyBody::unaltered(body, state)
            }
        }))
    }

    fn empty(&self, status: StatusCode) -> Response<BuggyBody> {
        let mut response = Response::new(BuggyBody::empty(Arc::clone(&self.state)));
        *response.status_mut() = status;
        response
    }
}

/// Returns a request as a notification.
fn without_id(body: &Bytes) -> Option<Bytes> {
    let mut message: Value = serde_json::from_slice(body).ok()?;
    message.as_object_mut()?.remove("id")?;
    Some(message.to_string().into())
}
