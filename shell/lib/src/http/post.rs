//! POST requests: messages of the client.
//!
//! Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".

use std::{error::Error, future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use rejoin_core::{
    AnswerFormat, Head, Method, Parsed, Post, RequestId, SessionCloseReason, parse_head,
};

use super::{
    Inner,
    body::ResponseBody,
    head::{self, SESSION_ID},
    memory::Reservation,
    observed::ObservedRequests,
    peer,
    receive::{ReceiveError, receive},
    refusal::Refusal,
    session::{AnyConnection, AnySession},
    stream,
    unanswered::{self, Unanswered},
};
use crate::{ClientMessage, ManagerError, SseEvent, message, session::Shared};

/// Maximum size of the body of an `initialize` request, in bytes.
const INITIALIZE_BYTES_MAX: usize = 64 << 10;

impl Inner {
    pub(super) async fn post<B>(
        &self,
        head: &Arc<Parts>,
        body: B,
    ) -> Result<Response<ResponseBody>, Refusal>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let headers = &head.headers;
        head::check_content_type(headers)?;
        head::check_content_encoding(headers)?;
        let session = self.session(head).await;
        let (post, session) = self.receive(head, session, body).await?;
        let id = request_id(&post);
        let response = match session {
            Err(_) if is_initialize(&post) && !self.has_session(head)? => {
                self.initialize(head, post).await
            }
            Ok(session) => self.forward(head, &session, post).await,
            Err(refusal) => Err(refusal),
        };
        response.map_err(|refusal| refusal.with_id(id))
    }

    /// Receives the messages of a POST. Without a session, it can only be `initialize`, so that a
    /// smaller size limit applies.
    async fn receive<B>(
        &self,
        head: &Arc<Parts>,
        session: Result<AnySession, Refusal>,
        body: B,
    ) -> Result<(Post<ClientMessage>, Result<AnySession, Refusal>), Refusal>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let config = &self.config.config;
        let bytes_max = match &session {
            Ok(_) => config.body_bytes_max,
            Err(_) => config.body_bytes_max.min(INITIALIZE_BYTES_MAX),
        };
        let group = session.as_ref().ok().map(|session| session.request_memory(&self.memory));
        let mut reservation = self.memory.reservation(group);
        let received = match reservation.add_head(head) {
            Ok(()) => receive(body, bytes_max, config.body_timeout, &mut reservation).await,
            Err(error) => Err(error.into()),
        };
        let bytes = match received {
            Ok(bytes) => bytes,
            Err(ReceiveError::Refused(refusal)) => return Err(refusal),
            Err(ReceiveError::TooLarge) => {
                session?;
                let message = format!("the request body is larger than {bytes_max} bytes");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
                    .option("--max-request-body"));
            }
        };
        Ok((parse(self.sessions.shared(), head, &bytes, reservation)?, session))
    }

    /// Returns the format of the response, and whether the client accepts SSE.
    fn format(
        &self,
        headers: &HeaderMap,
        post: &Post<ClientMessage>,
    ) -> Result<(AnswerFormat, bool), Refusal> {
        let is_json = self.config.config.json_responses;
        // The responses to a batch are sent one by one.
        let can_be_json = is_json && matches!(post, Post::Single(_));
        let accepts = head::accepts(headers);
        if accepts.json && (accepts.sse || can_be_json) {
            let format = if is_json { AnswerFormat::Json } else { AnswerFormat::Sse };
            return Ok((format, accepts.sse));
        }
        let message = if can_be_json {
            "`accept` must include application/json"
        } else {
            "`accept` must include application/json and text/event-stream"
        };
        Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, message))
    }

    /// Returns whether a request names a session that exists, for its principal.
    fn has_session(&self, head: &Parts) -> Result<bool, Refusal> {
        let id = head::unique(&head.headers, &SESSION_ID)?;
        let id = id.and_then(|id| id.parse().ok());
        Ok(id.is_some_and(|id| self.sessions.session_of(head.extensions.get(), id).is_ok()))
    }

    /// Creates a session. Waits for the response to `initialize`, because the headers only name the
    /// session if that succeeds.
    async fn initialize(
        &self,
        head: &Parts,
        post: Post<ClientMessage>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let (format, sse) = self.format(&head.headers, &post)?;
        let peer = peer::client_address(head, &self.config.config);
        let principal = head.extensions.get().cloned();
        let initialized = self.sessions.initialize_session_of(principal, peer, post, format).await;
        let (session, mut connection) = initialized?;
        let mut events = Vec::new();
        while poll_fn(|cx| connection.poll_events(cx, &mut events)).await {}
        if session.close_reason() == Some(SessionCloseReason::Moved) {
            return Err(ManagerError::StoreAway.into());
        }
        let mut response = match (format, events.as_slice()) {
            (AnswerFormat::Json, [SseEvent::Message { data, .. }]) => json(data.clone()),
            (AnswerFormat::Json, [.., SseEvent::Message { data, .. }]) if !sse => {
                json(data.clone())
            }
            (AnswerFormat::Json | AnswerFormat::Sse, events) => stream::complete_response(events),
        };
        if session.initialized().is_some() {
            let id = HeaderValue::from_str(&session.id().to_string());
            response.headers_mut().extend(id.into_iter().map(|id| (SESSION_ID, id)));
        }
        Ok(response)
    }

    async fn forward(
        &self,
        head: &Parts,
        session: &AnySession,
        post: Post<ClientMessage>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if !post.has_request() {
            session.notify(post).await?;
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            return Ok(response);
        }
        let (format, sse) = self.format(&head.headers, &post)?;
        let unanswered = self.sessions.has_store().then(|| Unanswered::new(&post));
        let mut connection = session.request(post, format, sse).await?;
        if !sse {
            return json_response(&mut connection).await;
        }
        let mut events = Vec::new();
        let more = match format {
            AnswerFormat::Json => poll_fn(|cx| connection.poll_events(cx, &mut events)).await,
            AnswerFormat::Sse => stream::poll_briefly(&mut connection, &mut events).await,
        };
        Ok(match events.as_slice() {
            [SseEvent::Message { id: None, data }] => json(data.clone()),
            events if !more => {
                if !Unanswered::is_settled_by(events) {
                    connection.check_end()?;
                }
                stream::complete_response(events)
            }
            _ => self.streaming_response(head, &events, connection, unanswered),
        })
    }
}

/// Parses the body of a POST, for which memory was reserved.
pub(super) fn parse(
    shared: &Shared<Bytes>,
    head: &Arc<Parts>,
    bytes: &Bytes,
    reservation: Reservation,
) -> Result<Post<ClientMessage>, Refusal> {
    let limits = &shared.config;
    let batch_max = limits.session.batch_max;
    let mut observed = None;
    let observers = &shared.observers;
    let post = if observers.is_some() {
        let requests = observed.insert(ObservedRequests::new(observers, &head.headers));
        message::parse_with_details(bytes.clone(), batch_max, &mut |id, details| {
            requests.add(id, details);
        })?
    } else {
        message::parse_with(bytes.clone(), batch_max, |body| body)?
    };
    let depth = message::check_depth(bytes, limits.json_depth_max);
    depth.map_err(|error| Refusal::from(error).with_id(request_id(&post)))?;
    let mut post = reservation.attach(post, head);
    if let Some(observed) = observed {
        observed.attach_to(&mut post);
    }
    Ok(post)
}

/// Returns the response alone, without earlier messages, for a client that does not accept SSE.
async fn json_response(connection: &mut AnyConnection) -> Result<Response<ResponseBody>, Refusal> {
    let mut last = None;
    let mut events = Vec::new();
    let mut more = true;
    while more {
        more = poll_fn(|cx| connection.poll_events(cx, &mut events)).await;
        last = events.drain(..).next_back().or(last);
    }
    match last {
        Some(SseEvent::Message { data, .. }) if is_response(&data) => Ok(json(data)),
        // The request was cancelled.
        _ if connection.is_complete() => Ok(super::no_content()),
        // Its stream was disconnected, which the client cannot resume.
        _ => Err(connection.check_end().err().unwrap_or_else(Refusal::lost)),
    }
}

fn is_response(message: &[u8]) -> bool {
    matches!(parse_head(message, 1), Ok(Parsed::Single(Head::Response { .. } | Head::Error { .. })))
}

fn json(data: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(data));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(stream::CACHE_CONTROL));
    response
}

fn is_initialize<M>(post: &Post<M>) -> bool {
    let initialize =
        |head: &Head| matches!(head, Head::Request { method: Method::Initialize { .. }, .. });
    match post {
        Post::Single(message) => initialize(&message.head),
        Post::Batch(_) => false,
    }
}

/// Returns the id of the request of a POST, if it is a single one.
fn request_id<M>(post: &Post<M>) -> Option<RequestId> {
    match post {
        Post::Single(message) => unanswered::request_id(message),
        Post::Batch(_) => None,
    }
}
