//! POST: messages of the client.
//!
//! Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".

use std::{error::Error, future::poll_fn};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rejoin_core::{AnswerFormat, Head, Method, Post, RequestId};

use super::{
    Inner,
    body::ResponseBody,
    head::{self, SESSION_ID},
    receive::receive,
    refusal::Refusal,
    stream,
};
use crate::{SessionHandle, SseEvent, message};

impl Inner {
    pub(super) async fn post<B>(
        &self,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Response<ResponseBody>, Refusal>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let format = self.format(headers)?;
        head::check_content_type(headers)?;
        let settings = &self.checked.settings;
        let (bytes_max, timeout) = (settings.body_bytes_max, settings.body_timeout);
        let bytes = receive(body, bytes_max, timeout, &self.memory).await?;
        let post = message::parse(bytes, self.sessions.settings().session.batch_max)?;
        let id = request_id(&post);
        let answer = if is_initialize(&post) && !self.is_live(headers)? {
            self.initialize(post, format).await
        } else {
            let session = head::session(headers, &self.sessions)?;
            self.pass_on(&session, post, format).await
        };
        answer.map_err(|refusal| refusal.of(id))
    }

    /// Returns how the client is to be answered.
    fn format(&self, headers: &HeaderMap) -> Result<AnswerFormat, Refusal> {
        let accepts = head::accepts(headers);
        if !(accepts.json && accepts.sse) {
            let message = "`accept` must list application/json and text/event-stream";
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        let is_json = self.checked.settings.json_responses;
        Ok(if is_json { AnswerFormat::Json } else { AnswerFormat::Sse })
    }

    /// Returns whether the session that a request names, if any, is there.
    fn is_live(&self, headers: &HeaderMap) -> Result<bool, Refusal> {
        let id = head::single(headers, &SESSION_ID)?;
        let id = id.and_then(|id| id.parse().ok());
        Ok(id.is_some_and(|id| self.sessions.has_session(id)))
    }

    /// Begins a session. The headers wait for the answer, since they name the session
    /// only where there is one.
    async fn initialize(
        &self,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let (session, mut connection) = self.sessions.initialize_session(post, format).await?;
        let mut events = Vec::new();
        while poll_fn(|cx| connection.poll_events(cx, &mut events)).await {}
        let mut response = match (format, events.as_slice()) {
            (AnswerFormat::Json, [SseEvent::Message { data, .. }]) => json(data.clone()),
            (AnswerFormat::Json | AnswerFormat::Sse, events) => stream::whole(events),
        };
        if session.initialized().is_some() {
            let id = HeaderValue::from_str(&session.id().to_string());
            response.headers_mut().extend(id.into_iter().map(|id| (SESSION_ID, id)));
        }
        Ok(response)
    }

    async fn pass_on(
        &self,
        session: &SessionHandle,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if !message::has_request(&post) {
            session.message(post).await?;
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            return Ok(response);
        }
        let mut connection = session.request(post, format).await?;
        let mut taken = Vec::new();
        let more = match format {
            AnswerFormat::Json => poll_fn(|cx| connection.poll_events(cx, &mut taken)).await,
            AnswerFormat::Sse => stream::take_soon(&mut connection, &mut taken).await,
        };
        Ok(match taken.as_slice() {
            [SseEvent::Message { id: None, data }] => json(data.clone()),
            taken if !more => stream::whole(taken),
            _ => stream::sse(&taken, connection, &self.checked.settings),
        })
    }
}

fn json(data: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(data));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_initialize(post: &Post<Bytes>) -> bool {
    let initialize =
        |head: &Head| matches!(head, Head::Request { method: Method::Initialize { .. }, .. });
    match post {
        Post::Single(message) => initialize(&message.head),
        Post::Batch(_) => false,
    }
}

/// Returns the id of the one request that a refusal would answer.
fn request_id(post: &Post<Bytes>) -> Option<RequestId> {
    match post {
        Post::Single(message) => match &message.head {
            Head::Request { id, .. } => Some(id.clone()),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        },
        Post::Batch(_) => None,
    }
}
