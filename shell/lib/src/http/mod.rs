//! The HTTP service: Streamable HTTP, as a tower service.

mod allow;
mod body;
mod config;
mod cors;
mod head;
mod memory;
mod peer;
mod peer_address;
mod post;
mod receive;
mod refusal;
mod sse;
mod stream;
#[cfg(test)]
mod wire_page;

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode, Version, header, request::Parts};
use rejoin_core::{ClientFault, Rejection};
use tower_service::Service;

pub use self::{
    body::ResponseBody,
    config::{HttpConfig, HttpConfigError},
    peer_address::PeerAddress,
};
use self::{config::ValidHttpConfig, memory::RequestMemory, refusal::Refusal};
use crate::{SessionError, SessionManager, log};

/// The supported HTTP methods.
const METHODS: &str = "GET, POST, DELETE, OPTIONS";

#[doc = include_str!("../../docs/streamable_http.md")]
#[derive(Clone, Debug)]
pub struct StreamableHttp {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sessions: SessionManager,
    config: ValidHttpConfig,
    /// For client messages, until their backends have received them.
    memory: RequestMemory,
}

impl StreamableHttp {
    /// Creates a service for the sessions of a manager.
    ///
    /// # Errors
    ///
    /// The configuration is invalid: the caller is at fault.
    pub fn new(sessions: SessionManager, config: HttpConfig) -> Result<Self, HttpConfigError> {
        let memory_max = sessions.config().request_memory_max();
        let config = config.validate(memory_max)?;
        let memory = RequestMemory::new(
            memory_max,
            config.config.body_bytes_max,
            sessions.shared().request_counters.clone(),
        );
        Ok(Self { inner: Arc::new(Inner { sessions, config, memory }) })
    }
}

impl<B> Service<Request<B>> for StreamableHttp
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let head = Arc::new(head);
            let result = inner.respond(&head, body).await;
            let mut response = result.unwrap_or_else(|refusal| {
                refusal.log(&head);
                refusal.into_response()
            });
            inner.config.apply_cors(&head, &mut response);
            Ok(response)
        })
    }
}

impl Inner {
    async fn respond<B>(
        &self,
        head: &Arc<Parts>,
        body: B,
    ) -> Result<Response<ResponseBody>, Refusal>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.config.check_host_and_origin(head)?;
        match head.method {
            Method::POST => self.post(head, body).await,
            Method::GET => self.get(&head.headers).await,
            Method::DELETE => {
                head::session(&head.headers, &self.sessions)?.delete()?;
                Ok(no_content())
            }
            Method::OPTIONS => Ok(cors::options()),
            _ => {
                let message = format!("method {} is not supported", head.method);
                Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message))
            }
        }
    }

    async fn get(&self, headers: &http::HeaderMap) -> Result<Response<ResponseBody>, Refusal> {
        if !head::accepts(headers).sse {
            let message = "`accept` must include text/event-stream";
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        let last_event_id = head::last_event_id(headers)?;
        let session = head::session(headers, &self.sessions)?;
        let mut connection = match last_event_id {
            Some(id) => match session.resume(id) {
                // Clients would retry after an error, and report it to the user.
                Err(SessionError::Rejected(Rejection::Client(ClientFault::CancelledStream(_)))) => {
                    return Ok(no_content());
                }
                resumed => resumed?,
            },
            None => session.standalone()?,
        };
        let mut events = Vec::new();
        let more = stream::take_ready(&mut connection, &mut events).await;
        Ok(match events.as_slice() {
            [] if connection.is_complete() => no_content(),
            events if !more => stream::complete_response(events),
            events => stream::streaming_response(events, connection, &self.config.config),
        })
    }
}

/// Returns an empty success. As a response to GET, it tells the client not to reconnect.
///
/// Specification: HTML Living Standard, Server-sent events, "Processing model".
fn no_content() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

impl ValidHttpConfig {
    /// Refuses requests with a `Host` or `Origin` that is not allowed.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Security Warning".
    fn check_host_and_origin(&self, head: &Parts) -> Result<(), Refusal> {
        let host = head::host(head)?.unwrap_or_default();
        if host.is_empty() && head.version == Version::HTTP_11 {
            // RFC 9112, 3.2.
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "missing `host` header"));
        }
        if !self.hosts.allows(host) {
            let host = log::truncate(host);
            let message = format!("host {host:?} is not allowed: see `--allow-host`");
            return Err(Refusal::new(StatusCode::FORBIDDEN, message));
        }
        match head::unique(&head.headers, &header::ORIGIN)? {
            Some(origin) if !self.origins.allows(origin, &self.hosts, host) => {
                let origin = log::truncate(origin);
                let message = format!("origin {origin:?} is not allowed: see `--allow-origin`");
                Err(Refusal::new(StatusCode::FORBIDDEN, message))
            }
            Some(_) | None => Ok(()),
        }
    }
}
