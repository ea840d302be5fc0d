//! What is done to requests, and to the heads of responses.

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
use serde_json::Value;
use tower_service::Service;

use super::body::{SabotagedBody, State};
use super::{Sabotage, has};

/// The service, and what it does wrong.
#[derive(Clone, Debug)]
pub(crate) struct Sabotaged {
    service: StreamableHttp,
    sabotage: Option<Sabotage>,
    state: Arc<Mutex<State>>,
}

/// One in so many requests is not served as it should be.
const EVERY: u64 = 17;

impl Sabotaged {
    /// Does something wrong, if that is wanted; what is sent elsewhere may stay in its
    /// session.
    pub(crate) fn new(service: StreamableHttp, sabotage: Option<Sabotage>, stays: bool) -> Self {
        Self { service, sabotage, state: Arc::new(Mutex::new(State::new(stays))) }
    }
}

impl Service<Request<Incoming>> for Sabotaged {
    type Response = Response<SabotagedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Incoming>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let session = request.headers().get("mcp-session-id").cloned();
        let Some((sabotage, session)) = self.sabotage.zip(session) else {
            let (answer, state) = (self.service.call(request), Arc::clone(&self.state));
            return Box::pin(async move {
                Ok(answer.await?.map(|body| SabotagedBody::sound(body, state)))
            });
        };
        let this = self.clone();
        Box::pin(async move { this.serve(request, sabotage, session).await })
    }
}

impl Sabotaged {
    async fn serve(
        mut self,
        request: Request<Incoming>,
        sabotage: Sabotage,
        session: HeaderValue,
    ) -> Result<Response<SabotagedBody>, Infallible> {
        let (head, body) = request.into_parts();
        // Whoever sends no more than a part of it is gone.
        let mut body =
            body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_post = head.method == Method::POST;
        let is_call = is_post && has(&body, "tools/call");
        let is_note = is_post && !is_call && has(&body, "jsonrpc");
        let is_concerned = matches!(sabotage, Sabotage::Denies | Sabotage::Panics)
            || is_note && matches!(sabotage, Sabotage::DropsPosts | Sabotage::DoublesPosts)
            || is_call && sabotage == Sabotage::ForgetsRequests;
        let is_turn = is_concerned && self.state.lock().is_turn(EVERY);
        assert!(!(is_turn && sabotage == Sabotage::Panics), "it is sabotage");
        if is_turn && sabotage == Sabotage::DropsPosts {
            return Ok(self.empty(StatusCode::ACCEPTED));
        }
        if is_turn && sabotage == Sabotage::Denies {
            return Ok(self.empty(StatusCode::NOT_FOUND));
        }
        if is_turn && sabotage == Sabotage::DoublesPosts {
            let first = Request::from_parts(head.clone(), Full::new(body.clone()));
            self.service.call(first).await?;
        }
        let is_call = is_turn && sabotage == Sabotage::ForgetsRequests;
        let forgotten = is_call.then(|| without_id(&body)).flatten();
        let is_forgotten = forgotten.is_some();
        body = forgotten.unwrap_or(body);
        let response = self.service.call(Request::from_parts(head, Full::new(body))).await?;
        if is_forgotten && response.status() == StatusCode::ACCEPTED {
            let mut response = self.empty(StatusCode::OK);
            let stream = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, stream);
            return Ok(response);
        }
        let is_refused =
            response.status().is_client_error() && response.status() != StatusCode::NOT_FOUND;
        if sabotage == Sabotage::Accepts && is_refused {
            return Ok(self.empty(StatusCode::ACCEPTED));
        }
        let content = response.headers().get(header::CONTENT_TYPE);
        let is_stream = content.is_some_and(|content| content == "text/event-stream");
        let state = Arc::clone(&self.state);
        Ok(response.map(|body| {
            if is_stream {
                SabotagedBody::new(body, state, sabotage, session)
            } else {
                SabotagedBody::sound(body, state)
            }
        }))
    }

    fn empty(&self, status: StatusCode) -> Response<SabotagedBody> {
        let mut response = Response::new(SabotagedBody::empty(Arc::clone(&self.state)));
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
