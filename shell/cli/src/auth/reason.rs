//! Why requests are refused for lack of authentication or authorization.

use std::net::SocketAddr;

use http::{StatusCode, request::Parts};
use rejoin::PeerAddress;

/// Why a request is refused. The names are stable: they are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is no credential.
    Missing,
    /// The scheme of `Authorization` is not `Bearer`.
    Scheme,
    /// There are several credentials.
    Duplicate,
    /// The credential is in the query of the URL.
    Query,
    /// The credential cannot be parsed.
    Malformed,
    /// The credential is too long.
    TooLong,
    /// It is not a key, and tokens are not accepted.
    UnknownKey,
    /// The token is signed with an algorithm that is not accepted, or not that of its key.
    Algorithm,
    /// No key of the issuer has the id that the token names.
    KeyId,
    Signature,
    Expired,
    NotYetValid,
    Issuer,
    Audience,
    /// The token has no subject, or one that is not accepted.
    Subject,
    /// The token lacks a required scope.
    Scope,
    /// The keys of the issuer cannot be fetched.
    KeysUnavailable,
    /// The principal makes too many requests.
    RateLimit,
    /// The session belongs to another principal.
    ForeignSession,
}

impl Reason {
    /// Logs that a request was refused.
    pub(super) fn log(self, head: &Parts) {
        let peer = head.extensions.get().map(|PeerAddress(peer): &PeerAddress| peer);
        let peer: Option<&SocketAddr> = peer;
        let peer = peer.map(tracing::field::display);
        tracing::info!(peer, reason = self.name(), "authentication failed");
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Scheme => "scheme",
            Self::Duplicate => "duplicate",
            Self::Query => "query",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::KeyId => "key_id",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Scope => "scope",
            Self::KeysUnavailable => "keys_unavailable",
            Self::RateLimit => "rate_limit",
            Self::ForeignSession => "foreign_session",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Duplicate | Self::Query => StatusCode::BAD_REQUEST,
            Self::Missing
            | Self::Scheme
            | Self::Malformed
            | Self::TooLong
            | Self::UnknownKey
            | Self::Algorithm
            | Self::KeyId
            | Self::Signature
            | Self::Expired
            | Self::NotYetValid
            | Self::Issuer
            | Self::Audience
            | Self::Subject => StatusCode::UNAUTHORIZED,
            Self::Scope => StatusCode::FORBIDDEN,
            Self::ForeignSession => StatusCode::NOT_FOUND,
            Self::RateLimit => StatusCode::TOO_MANY_REQUESTS,
            Self::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the error code of RFC 6750, 3.1. A request without a credential gets none.
    pub(super) fn error_code(self) -> Option<&'static str> {
        match self.status() {
            _ if matches!(self, Self::Missing | Self::Scheme) => None,
            StatusCode::UNAUTHORIZED => Some("invalid_token"),
            StatusCode::FORBIDDEN => Some("insufficient_scope"),
            StatusCode::BAD_REQUEST => Some("invalid_request"),
            _ => None,
        }
    }

    /// Returns the text for the client. It has no character that must be quoted in a header.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Missing => "authentication is required",
            Self::Scheme => "authentication is required, with the scheme Bearer",
            Self::Duplicate => "the request has more than one credential",
            Self::Query => "a credential must not be in the URL",
            Self::Malformed => "the credential is malformed",
            Self::TooLong => "the credential is too long",
            Self::UnknownKey => "the credential is not valid",
            Self::Algorithm => "the token has an algorithm that is not accepted",
            Self::KeyId => "the token was signed with an unknown key",
            Self::Signature => "the signature of the token is not valid",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Issuer => "the token is from another issuer",
            Self::Audience => "the token is for another audience",
            Self::Subject => "the token has no valid subject",
            Self::Scope => "the token lacks a required scope",
            Self::KeysUnavailable => "the keys of the issuer are not available, retry later",
            Self::RateLimit => "too many requests, retry later",
            Self::ForeignSession => "session not found",
        }
    }
}
