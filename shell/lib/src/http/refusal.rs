//! Refusals: the HTTP status and JSON-RPC error for each fault.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use rejoin_core::{ClientFault, ParseError, Rejection, RequestId, SessionCloseReason};

use super::{PeerAddress, body::ResponseBody, head};
#[cfg(feature = "cluster")]
use crate::cluster::link::Reply;
use crate::{ManagerError, Overloaded, Refused, SessionError, TooDeep, log, render};

/// JSON-RPC 2.0, section 5.1.
const INVALID_REQUEST: i32 = -32_600;
const INTERNAL_ERROR: i32 = -32_603;
/// The code that the official SDKs use for an unknown session.
const SESSION_NOT_FOUND: i32 = -32_001;

/// The refusal of a request.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: i32,
    message: String,
    id: Option<RequestId>,
    /// The option of the program that sets the limit, for the log.
    option: Option<&'static str>,
    /// The `Retry-After` header, in seconds.
    retry_after: Option<u16>,
    /// Whether to add `Accept-Encoding: identity`.
    accept_encoding: bool,
    /// Whether the session belongs to another principal.
    #[cfg(feature = "cluster")]
    is_foreign: bool,
}

impl Refusal {
    /// Creates a refusal, with the JSON-RPC code that fits the status.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let code = if status.is_server_error() { INTERNAL_ERROR } else { INVALID_REQUEST };
        Self {
            status,
            code,
            message: message.into(),
            id: None,
            option: None,
            retry_after: None,
            accept_encoding: false,
            #[cfg(feature = "cluster")]
            is_foreign: false,
        }
    }

    /// Creates the refusal of a request whose response is lost.
    pub(super) fn lost() -> Self {
        let message = "the response was lost: whether the request was carried out is not known";
        Self::new(StatusCode::BAD_GATEWAY, message)
    }

    /// Sets the id of the request, unless it is known.
    pub(super) fn with_id(self, id: Option<RequestId>) -> Self {
        Self { id: self.id.or(id), ..self }
    }

    /// Sets the option of the program that would allow the request. It is only logged: a client
    /// cannot change it.
    pub(super) fn option(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }

    pub(super) fn retry_after(self, seconds: u16) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Adds `Accept-Encoding: identity`: bodies must not be compressed.
    ///
    /// Specification: RFC 9110, 15.5.16.
    pub(super) fn accept_encoding(self) -> Self {
        Self { accept_encoding: true, ..self }
    }

    /// Notes that the session belongs to another principal, which is in another process.
    #[cfg(feature = "cluster")]
    pub(super) fn foreign(self) -> Self {
        Self { is_foreign: true, ..self }
    }

    #[cfg(feature = "cluster")]
    pub(super) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Returns the refusal of the process that has the session.
    #[cfg(feature = "cluster")]
    pub(super) fn of_owner(
        status: u16,
        code: i32,
        message: String,
        retry_after: Option<u16>,
    ) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        Self { code, retry_after, ..Self::new(status, message) }
    }

    /// Returns the refusal for the process that has passed the request on.
    #[cfg(feature = "cluster")]
    pub(super) fn into_reply(self) -> Reply {
        let Self { status, code, message, retry_after, .. } = self;
        Reply::Refused { status: status.as_u16(), code, message, retry_after }
    }

    /// Logs the refusal, with the peer and the host of the request.
    pub(super) fn log(&self, head: &Parts) {
        let peer = head.extensions.get::<PeerAddress>().map(|PeerAddress(peer)| peer);
        let peer = peer.map(tracing::field::display);
        let host = head::host(head).ok().flatten().map(log::truncate).map(tracing::field::debug);
        let (status, reason) = (self.status.as_u16(), log::truncate(&self.message));
        let option = self.option;
        if self.status == StatusCode::FORBIDDEN || self.status.is_server_error() {
            tracing::warn!(peer, host, status, ?reason, option, "request refused");
        } else {
            tracing::info!(peer, host, status, ?reason, option, "request refused");
        }
    }

    /// Returns what an observer is told.
    pub(super) fn observed(&self, head: &Parts) -> Refused {
        Refused { method: head.method.clone(), status: self.status, option: self.option }
    }

    /// Returns the JSON-RPC error for a request.
    pub(super) fn error_for(&self, id: &RequestId) -> Bytes {
        render::error(Some(id), self.code, &self.message)
    }

    pub(super) fn into_response(self) -> Response<ResponseBody> {
        let body = render::error(self.id.as_ref(), self.code, &self.message);
        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.accept_encoding {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static(super::METHODS));
        }
        response
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        let refusal = Self::new(StatusCode::BAD_REQUEST, error.to_string());
        Self { code: error.code(), id: error.id().cloned(), ..refusal }
    }
}

impl From<TooDeep> for Refusal {
    fn from(error: TooDeep) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string()).option("--max-json-depth")
    }
}

impl From<ManagerError> for Refusal {
    fn from(error: ManagerError) -> Self {
        let message = error.to_string();
        match error {
            ManagerError::NotFound => Self {
                code: SESSION_NOT_FOUND,
                ..Self::new(
                    StatusCode::NOT_FOUND,
                    "session not found; send a new initialize request",
                )
            },
            ManagerError::TooManySessions(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
                .option("--max-sessions")
                .retry_after(10),
            ManagerError::Closing => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(10)
            }
            ManagerError::StoreAway => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(1)
            }
            ManagerError::TooManySessionsPerIp(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, message)
                    .option("--max-sessions-per-ip")
                    .retry_after(10)
            }
            ManagerError::TooManySessionsPerPrincipal(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, message)
                    .option("--max-sessions-per-principal")
                    .retry_after(10)
            }
            ManagerError::Open(error) => match error.downcast_ref::<Overloaded>() {
                Some(overloaded) => {
                    let seconds = u16::try_from(overloaded.seconds()).unwrap_or(u16::MAX);
                    Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
                        .option("--max-starts-per-second")
                        .retry_after(seconds)
                }
                None => Self::new(StatusCode::BAD_GATEWAY, message),
            },
            ManagerError::ClosedDuringInitialize(_) | ManagerError::Moved => {
                Self::new(StatusCode::BAD_GATEWAY, message)
            }
            ManagerError::Session(error) => error.into(),
        }
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        let message = error.to_string();
        match error {
            SessionError::QueueFull => Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
                .option("--max-queue")
                .retry_after(1),
            SessionError::Rejected(Rejection::Draining) => ManagerError::Closing.into(),
            SessionError::Rejected(Rejection::Client(fault)) => {
                Self::from_client_fault(&fault, message)
            }
            SessionError::Rejected(Rejection::Closed(SessionCloseReason::Moved)) => {
                ManagerError::StoreAway.into()
            }
            SessionError::Rejected(Rejection::Closed(_)) => ManagerError::NotFound.into(),
            SessionError::Rejected(
                Rejection::Backend(_) | Rejection::ApiMisuse(_) | Rejection::Full,
            )
            | SessionError::NotReserved
            | SessionError::WrongOperation => Self::new(StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

impl Refusal {
    #[expect(clippy::match_same_arms, reason = "every known fault is matched by name")]
    fn from_client_fault(fault: &ClientFault, message: String) -> Self {
        match fault {
            ClientFault::NotInitialized
            | ClientFault::AlreadyInitialized
            | ClientFault::RequestIdInUse(_)
            | ClientFault::ProgressTokenInUse(_)
            | ClientFault::BatchNotAllowed
            | ClientFault::BatchEmpty
            | ClientFault::InitializeInBatch
            | ClientFault::UnknownStream(_)
            | ClientFault::FutureEvent { .. }
            | ClientFault::CancelledStream(_)
            | ClientFault::ExpiredStream(_) => Self::new(StatusCode::BAD_REQUEST, message),
            ClientFault::BatchTooLong { .. } => {
                Self::new(StatusCode::BAD_REQUEST, message).option("--max-batch")
            }
            ClientFault::MessageTooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, message).option("--max-message")
            }
            ClientFault::StandaloneConflict => Self::new(StatusCode::CONFLICT, message),
            ClientFault::TooManyRequests { .. } => {
                Self::too_many(message, "--max-pending-requests")
            }
            ClientFault::TooManyCancelled { .. } => {
                Self::too_many(message, "--max-cancelled-requests")
            }
            ClientFault::TooManyStreams { .. } => Self::too_many(message, "--max-streams"),
            ClientFault::TooManyConnections { .. } => {
                Self::too_many(message, "--max-session-connections")
            }
            _ => Self::new(StatusCode::BAD_REQUEST, message),
        }
    }

    /// The client has reached the limit that an option sets.
    fn too_many(message: String, option: &'static str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).option(option).retry_after(1)
    }
}
