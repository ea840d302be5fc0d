//! The HTTP service: Streamable HTTP, as a tower service.

mod allow;
mod authenticate;
mod body;
mod config;
mod cors;
mod credential;
mod head;
mod memory;
mod observed;
mod peer;
mod peer_address;
mod post;
mod receive;
mod refusal;
#[cfg(feature = "cluster")]
mod remote;
mod session;
mod sse;
mod stream;
mod unanswered;
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
use tower_service::Service;

#[cfg(feature = "cluster")]
use self::remote::RemoteSession;
use self::{
    authenticate::AnyAuthenticate,
    config::ValidHttpConfig,
    memory::RequestMemory,
    refusal::Refusal,
    session::{AnyConnection, AnySession},
    unanswered::Unanswered,
};
pub use self::{
    authenticate::Authenticate,
    body::ResponseBody,
    config::{HttpConfig, HttpConfigError},
    credential::CredentialExpiry,
    peer_address::PeerAddress,
};
use crate::{ManagerError, Refused, SessionId, SessionManager, SseEvent, log, manager::Found};

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
    authentication: Option<Box<dyn AnyAuthenticate>>,
}

impl StreamableHttp {
    /// Creates a service for the sessions of a manager.
    ///
    /// # Errors
    ///
    /// The configuration is invalid: the caller is at fault.
    pub fn new(sessions: SessionManager, config: HttpConfig) -> Result<Self, HttpConfigError> {
        Self::build(sessions, config, None)
    }

    /// Creates a service with authentication: every request but `OPTIONS` is authenticated after
    /// its `Host` and `Origin` were checked, and before its session is looked up. The response to
    /// a request that is not served gets CORS headers, too.
    ///
    /// A layer in front of a service without it can do the same: see
    /// [`Principal`](crate::Principal).
    ///
    /// # Errors
    ///
    /// Same as [`new`](Self::new).
    pub fn authenticated(
        sessions: SessionManager,
        config: HttpConfig,
        authentication: impl Authenticate,
    ) -> Result<Self, HttpConfigError> {
        Self::build(sessions, config, Some(Box::new(authentication)))
    }

    fn build(
        sessions: SessionManager,
        config: HttpConfig,
        authentication: Option<Box<dyn AnyAuthenticate>>,
    ) -> Result<Self, HttpConfigError> {
        let memory_max = sessions.config().request_memory_max();
        let config = config.validate(memory_max)?;
        let memory = RequestMemory::new(
            memory_max,
            config.config.body_bytes_max,
            sessions.shared().request_counters.clone(),
        );
        #[cfg(feature = "cluster")]
        {
            let body_bytes_max = config.config.body_bytes_max;
            let counters = sessions.shared().request_counters.clone();
            let memory = RequestMemory::new(memory_max, body_bytes_max, counters);
            let owner = remote::Owner::new(sessions.downgrade(), memory, body_bytes_max);
            sessions.serve_calls(owner);
        }
        let inner = Inner { sessions, config, memory, authentication };
        Ok(Self { inner: Arc::new(inner) })
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
            let (mut head, body) = request.into_parts();
            let admitted = inner.admit(&mut head).await;
            let head = Arc::new(head);
            let result = match admitted {
                Ok(None) => inner.respond(&head, body).await,
                Ok(Some(response)) => {
                    let (method, status) = (head.method.clone(), response.status());
                    let refused = Refused { method, status, option: None };
                    inner.sessions.shared().observers.on_refused(&refused);
                    Ok(response)
                }
                Err(refusal) => Err(refusal),
            };
            let mut response = result.unwrap_or_else(|refusal| {
                #[cfg(feature = "cluster")]
                if refusal.is_foreign() {
                    inner.note_foreign_session(&head);
                }
                refusal.log(&head);
                inner.sessions.shared().observers.on_refused(&refusal.observed(&head));
                refusal.into_response()
            });
            inner.config.apply_cors(&head, &mut response);
            Ok(response)
        })
    }
}

impl Inner {
    /// Checks and authenticates a request. Returns the response to one that is not authenticated.
    async fn admit(&self, head: &mut Parts) -> Result<Option<Response<ResponseBody>>, Refusal> {
        self.config.check_host_and_origin(head)?;
        match &self.authentication {
            Some(authentication) if head.method != Method::OPTIONS => {
                let denied = authentication.authenticate_any(head).await.err();
                Ok(denied.map(|response| response.map(ResponseBody::full)))
            }
            Some(_) | None => Ok(None),
        }
    }

    async fn respond<B>(
        &self,
        head: &Arc<Parts>,
        body: B,
    ) -> Result<Response<ResponseBody>, Refusal>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        match head.method {
            Method::POST => self.post(head, body).await,
            Method::GET => self.get(head).await,
            Method::DELETE => {
                let session = self.session(head).await?;
                session.delete(&self.sessions).await?;
                Ok(no_content())
            }
            Method::OPTIONS => Ok(cors::options()),
            _ => {
                let message = format!("method {} is not supported", head.method);
                Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message))
            }
        }
    }

    async fn get(&self, head: &Arc<Parts>) -> Result<Response<ResponseBody>, Refusal> {
        let headers = &head.headers;
        if !head::accepts(headers).sse {
            let message = "`accept` must include text/event-stream";
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        let last_event_id = head::last_event_id(headers)?;
        let session = self.session(head).await?;
        let Some(mut connection) = session.get(last_event_id).await? else {
            return Ok(no_content());
        };
        let mut events = Vec::new();
        let more = stream::take_ready(&mut connection, &mut events).await;
        Ok(match events.as_slice() {
            [] if connection.is_complete() => no_content(),
            events if !more => stream::complete_response(events),
            events => self.streaming_response(head, events, connection, None),
        })
    }

    /// Finds the session that a request names, and that belongs to its principal.
    async fn session(&self, head: &Arc<Parts>) -> Result<AnySession, Refusal> {
        let id = head::session_id(&head.headers)?;
        let session = match self.find(head, id).await? {
            Found::Here(session) => AnySession::Here(session),
            #[cfg(feature = "cluster")]
            Found::There(link) => AnySession::There(RemoteSession::new(
                self.sessions.clone(),
                id,
                Arc::clone(head),
                (link, self.config.config.reconnect_delay),
            )),
        };
        session.check_protocol_version(&head.headers)?;
        Ok(session)
    }

    /// Finds a session that belongs to the principal of a request.
    async fn find(&self, head: &Parts, id: SessionId) -> Result<Found, ManagerError> {
        let found = self.sessions.find(head.extensions.get(), id).await;
        if matches!(found, Err(ManagerError::NotFound)) && self.sessions.has_session(id) {
            self.note_foreign_session(head);
        }
        found
    }

    fn note_foreign_session(&self, head: &Parts) {
        match &self.authentication {
            Some(authentication) => authentication.on_foreign_session(head),
            None => log::foreign_session(head),
        }
    }

    fn streaming_response(
        &self,
        head: &Parts,
        events: &[SseEvent],
        connection: AnyConnection,
        unanswered: Option<Unanswered>,
    ) -> Response<ResponseBody> {
        let expiry = head.extensions.get();
        let config = &self.config.config;
        stream::streaming_response(events, (connection, unanswered), config, expiry)
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
