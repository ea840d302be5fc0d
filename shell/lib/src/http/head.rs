//! Parsing and validation of HTTP request headers.

use http::{HeaderMap, HeaderName, StatusCode, header, request::Parts};
use rejoin_core::{EventId, PROFILES, ProtocolVersion};

use super::refusal::Refusal;
use crate::{ManagerError, SessionHandle, SessionId};

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The media types that a client accepts, of those that the service produces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accepts {
    pub(super) json: bool,
    pub(super) sse: bool,
}

/// Returns the value of a header that must be unique. An empty value counts as absent.
pub(super) fn unique<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter().filter(|value| !value.is_empty());
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("duplicate `{name}` header")));
    }
    let not_ascii =
        || Refusal::new(StatusCode::BAD_REQUEST, format!("the `{name}` header is not valid ASCII"));
    value.to_str().map(Some).map_err(|_| not_ascii())
}

/// Returns the host that the request names. The authority of the request target takes precedence:
/// RFC 9112, 3.2.2.
pub(super) fn host(head: &Parts) -> Result<Option<&str>, Refusal> {
    let host = unique(&head.headers, &header::HOST)?;
    Ok(head.uri.authority().map(http::uri::Authority::as_str).or(host))
}

/// Parses `Accept`. If it is absent, everything is accepted: RFC 9110, 12.5.1.
///
/// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server", 2.
pub(super) fn accepts(headers: &HeaderMap) -> Accepts {
    let mut accepts = Accepts::default();
    let mut values =
        headers.get_all(header::ACCEPT).iter().filter(|value| !value.is_empty()).peekable();
    if values.peek().is_none() {
        return Accepts { json: true, sse: true };
    }
    for range in values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let media = parts.next().unwrap_or_default();
        if parts.any(is_zero_quality) {
            continue;
        }
        let is = |known: &[u8]| media.eq_ignore_ascii_case(known);
        accepts.json |= is(b"application/json") || is(b"application/*") || is(b"*/*");
        accepts.sse |= is(b"text/event-stream") || is(b"text/*") || is(b"*/*");
    }
    accepts
}

/// Returns whether a parameter is a quality of 0, which means "not acceptable".
fn is_zero_quality(parameter: &[u8]) -> bool {
    let text = str::from_utf8(parameter).unwrap_or_default();
    let quality = text.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("q"));
    quality.is_some_and(|(_, value)| value.parse::<f32>() == Ok(0.0))
}

/// Checks that a POST has a JSON body.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = unique(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "`content-type` must be application/json";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// Checks that a body is not compressed.
pub(super) fn check_content_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    match unique(headers, &header::CONTENT_ENCODING)? {
        Some(coding) if !coding.trim().eq_ignore_ascii_case("identity") => {
            let message = format!(
                "`content-encoding` {coding:?} is not supported: send the body uncompressed"
            );
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).accept_encoding())
        }
        Some(_) | None => Ok(()),
    }
}

/// Parses the id of the session that a request names. One that cannot be an id is unknown.
///
/// Specification: MCP 2025-11-25, Transports, "Session Management".
pub(super) fn session_id(headers: &HeaderMap) -> Result<SessionId, Refusal> {
    let Some(id) = unique(headers, &SESSION_ID)? else {
        let message =
            "missing `mcp-session-id` header: send an initialize request to create a session";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    };
    Ok(id.parse().map_err(|_| ManagerError::NotFound)?)
}

/// Checks the protocol version that a request names, if it does.
///
/// Specification: MCP 2025-11-25, Transports, "Protocol Version Header".
pub(super) fn check_protocol_version(
    headers: &HeaderMap,
    session: &SessionHandle,
) -> Result<(), Refusal> {
    match protocol_version(headers)? {
        Some(version) => check_version(version, session),
        None => Ok(()),
    }
}

/// Returns the protocol version that a request names, if it does.
pub(super) fn protocol_version(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    unique(headers, &PROTOCOL_VERSION)
}

/// Checks that a protocol version is supported here, or is the one that was negotiated.
pub(super) fn check_version(text: &str, session: &SessionHandle) -> Result<(), Refusal> {
    let is_known = |version| PROFILES.iter().any(|profile| profile.version == version);
    let negotiated = || session.initialized().and_then(|result| result.version);
    let version = ProtocolVersion::new(text);
    if version.is_some_and(|version| is_known(version) || negotiated() == Some(version)) {
        return Ok(());
    }
    let message = format!("`mcp-protocol-version` {text:?} is not supported");
    Err(Refusal::new(StatusCode::BAD_REQUEST, message))
}

/// Parses `Last-Event-ID`.
///
/// Specification: MCP 2025-11-25, Transports, "Resumability and Redelivery".
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, Refusal> {
    let parse = |text: &str| {
        text.parse().map_err(|error: rejoin_core::EventIdError| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("`last-event-id`: {error}"))
        })
    };
    unique(headers, &LAST_EVENT_ID)?.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &'static str) -> (bool, bool) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())]);
        let Accepts { json, sse } = accepts(&headers);
        (json, sse)
    }

    #[test]
    fn accept_is_parsed_by_ranges() {
        assert_eq!(accepted("application/json, text/event-stream"), (true, true));
        assert_eq!(accepted("*/*"), (true, true));
        assert_eq!(accepted("Text/Event-Stream;q=0.9"), (false, true));
        assert_eq!(accepted("application/*;q=0, text/*"), (false, true));
        assert_eq!(accepted("text/html"), (false, false));
        assert_eq!(accepted(""), (true, true));
    }

    #[test]
    fn an_absent_accept_accepts_everything() {
        let Accepts { json, sse } = accepts(&HeaderMap::new());
        assert!(json && sse);
    }
}
