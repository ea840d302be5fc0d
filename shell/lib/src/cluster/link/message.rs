//! What links carry: calls, and replies, in `MessagePack`.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, request::Parts};
use rejoin_core::EventId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    PeerAddress, Principal, SessionId, SseEvent, render::INTERNAL_ERROR, session::MessagePart,
};

/// A request of a client that its ingress passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    session: Box<str>,
    /// The issuer and the subject.
    principal: Option<(Box<str>, Box<str>)>,
    /// The value of the header `mcp-protocol-version`.
    pub(crate) protocol_version: Option<Box<str>>,
    pub(crate) operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// Nothing: only whether this process has the session.
    Find,
    Post(Box<PostCall>),
    Get {
        last_event_id: Option<EventId>,
    },
    Delete,
}

/// A POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PostCall {
    pub(crate) is_json: bool,
    head: PostHead,
    pub(crate) body: Bytes,
}

/// The head of a request, as a backend sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PostHead {
    uri: String,
    headers: Vec<(String, Bytes)>,
    peer: Option<SocketAddr>,
}

/// What an ingress says during a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Control {
    /// It wants more events.
    Pull,
    /// Closes the connection so that its client reconnects, if that can resume.
    Disconnect { retry: Duration },
    /// The credential of the client has expired, or the ingress shuts down: closes the connection as
    /// soon as its client can resume.
    Expire { retry: Duration },
    /// The client is gone.
    Drop,
}

/// What the owner of a session answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It does not have the session.
    Moved,
    /// The session belongs to another principal.
    Foreign,
    /// It has refused the request.
    Refused { status: u16, code: i32, message: String, retry_after: Option<u16> },
    /// It has done what was asked for, and there are no events.
    Done,
    /// A stream that was cancelled was resumed.
    Cancelled,
    /// Events of a stream. Without any, the pull before stands.
    Events { events: Vec<Forwarded>, has_more: bool, is_complete: bool },
    /// A part of a large message.
    Part(MessagePart),
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Forwarded {
    Message { id: Option<EventId>, data: Bytes },
    Priming { id: EventId, retry: Option<Duration> },
    Gap { id: EventId, first: u64, notification: Option<Bytes> },
}

/// Why a call is refused that a link has no place for, at either end.
pub(crate) const FULL: &str = "too many requests for sessions of another process, retry later";

impl Call {
    pub(crate) fn new(
        session: SessionId,
        principal: Option<&Principal>,
        protocol_version: Option<&str>,
        operation: Operation,
    ) -> Self {
        let names = |principal: &Principal| (principal.issuer().into(), principal.subject().into());
        Self {
            session: session.to_string().into(),
            principal: principal.map(names),
            protocol_version: protocol_version.map(Into::into),
            operation,
        }
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session.parse().ok()
    }

    pub(crate) fn principal(&self) -> Option<Principal> {
        let (issuer, subject) = self.principal.as_ref()?;
        Some(Principal::new(issuer, subject))
    }
}

impl PostCall {
    pub(crate) fn new(head: &Parts, is_json: bool, body: Bytes) -> Self {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
        };
        let head = PostHead {
            uri: head.uri.to_string(),
            headers: head.headers.iter().map(header).collect(),
            peer: head.extensions.get::<PeerAddress>().map(|PeerAddress(address)| *address),
        };
        Self { is_json, head, body }
    }

    /// Returns the head of the request, as far as it is valid.
    pub(crate) fn head(&self, principal: Option<Principal>) -> Parts {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = http::Method::POST;
        head.uri = self.head.uri.parse::<Uri>().unwrap_or_default();
        for (name, value) in &self.head.headers {
            let (name, value) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value));
            if let (Ok(name), Ok(value)) = (name, value) {
                // An error means that there are too many.
                let _ = head.headers.try_append(name, value);
            }
        }
        if let Some(principal) = principal {
            head.extensions.insert(principal);
        }
        if let Some(peer) = self.head.peer {
            head.extensions.insert(PeerAddress(peer));
        }
        head
    }
}

impl Reply {
    /// Returns the reply after which a call has no more, if its client has something to resume.
    pub(crate) fn end() -> Self {
        Self::Events { events: Vec::new(), has_more: false, is_complete: false }
    }

    /// Returns the reply after which the pull before stands.
    pub(crate) fn none_yet() -> Self {
        Self::Events { events: Vec::new(), has_more: true, is_complete: false }
    }

    /// Returns the reply to a call that the owner has no place for.
    pub(super) fn full() -> Self {
        let message = FULL.to_owned();
        Self::Refused { status: 503, code: INTERNAL_ERROR, message, retry_after: Some(1) }
    }

    /// Returns the reply to a call that has failed because of a bug.
    pub(super) fn failed() -> Self {
        let message = "internal error in the process of the session".to_owned();
        Self::Refused { status: 500, code: INTERNAL_ERROR, message, retry_after: None }
    }

    /// Returns whether the call is over.
    pub(super) fn is_last(&self) -> bool {
        match self {
            Self::Moved | Self::Foreign | Self::Refused { .. } | Self::Done | Self::Cancelled => {
                true
            }
            Self::Events { has_more, .. } => !has_more,
            Self::Part(_) => false,
        }
    }
}

impl From<SseEvent> for Forwarded {
    fn from(event: SseEvent) -> Self {
        match event {
            SseEvent::Message { id, data } => Self::Message { id, data },
            SseEvent::Priming { id, retry } => Self::Priming { id, retry },
            SseEvent::Gap { id, first, notification } => Self::Gap { id, first, notification },
        }
    }
}

impl From<Forwarded> for SseEvent {
    fn from(event: Forwarded) -> Self {
        match event {
            Forwarded::Message { id, data } => Self::Message { id, data },
            Forwarded::Priming { id, retry } => Self::Priming { id, retry },
            Forwarded::Gap { id, first, notification } => Self::Gap { id, first, notification },
        }
    }
}

/// Appends a value.
pub(super) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let written = rmp_serde::encode::write(out, value);
    debug_assert!(written.is_ok(), "writing to memory does not fail: {written:?}");
}

/// Reads a value, and refuses what follows it.
pub(super) fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, ReadError> {
    let mut rest = bytes;
    let value = rmp_serde::from_read(&mut rest)?;
    if rest.is_empty() { Ok(value) } else { Err(ReadError::Trailing) }
}

/// A frame carries something invalid: its sender is at fault.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    #[error("an invalid frame: {0}")]
    Invalid(#[from] rmp_serde::decode::Error),
    #[error("a frame with more than it should have")]
    Trailing,
}
