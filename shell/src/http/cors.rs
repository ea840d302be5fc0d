//! CORS: what lets web pages of allowed origins read the answers.
//!
//! Specification: Fetch, "CORS protocol".

use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::{METHODS, body::ResponseBody, config::ValidHttpConfig, head};

/// What a web page may send along, where it does not say what it wants to send.
const REQUEST_HEADERS: &str =
    "accept, authorization, content-type, last-event-id, mcp-protocol-version, mcp-session-id";

/// What a web page may read of an answer, beyond what every page may.
const RESPONSE_HEADERS: &str = "mcp-session-id, retry-after";

/// What of a request decides what its answer says here.
const VARY: &str = "origin, access-control-request-headers";

/// How long a browser need not ask again, in seconds.
const MAX_AGE: &str = "7200";

/// Answers what a browser asks before it calls.
pub(super) fn options() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
    response
}

impl ValidHttpConfig {
    /// Lets the web page that called, if it was one and is allowed, read the answer.
    pub(super) fn apply_cors(&self, head: &Parts, response: &mut Response<ResponseBody>) {
        if !self.config.cors {
            return;
        }
        let Ok(Some(origin)) = head::unique(&head.headers, &header::ORIGIN) else { return };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static(VARY));
        let Ok(host) = head::host(head) else { return };
        if !self.origins.allow(origin, &self.hosts, host.unwrap_or_default()) {
            return;
        }
        let Ok(value) = HeaderValue::from_str(origin) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
        say(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        if head.method == http::Method::OPTIONS {
            say(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            say(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            let wanted = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            let default = || HeaderValue::from_static(REQUEST_HEADERS);
            let allowed = wanted.cloned().unwrap_or_else(default);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
    }
}
