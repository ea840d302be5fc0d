//! CORS headers for web pages of allowed origins.
//!
//! Specification: Fetch, "CORS protocol".

use http::{HeaderValue, Response, StatusCode, header, request::Parts};

use super::{METHODS, body::ResponseBody, config::ValidHttpConfig, head};

/// Allowed request headers, if a preflight request does not list any.
const REQUEST_HEADERS: &str =
    "accept, authorization, content-type, last-event-id, mcp-protocol-version, mcp-session-id";

/// Response headers that are exposed to web pages, besides those that always are.
const RESPONSE_HEADERS: &str = "mcp-session-id, retry-after, www-authenticate";

/// Request headers that the CORS headers depend on.
const VARY: &str = "origin, access-control-request-headers";

/// Time for which a browser may cache a preflight response, in seconds.
const MAX_AGE: &str = "7200";

/// Returns the response to a preflight request.
pub(super) fn options() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
    response
}

impl ValidHttpConfig {
    /// Adds CORS headers to a response, if the request has an allowed origin.
    pub(super) fn apply_cors(&self, head: &Parts, response: &mut Response<ResponseBody>) {
        if !self.config.cors {
            return;
        }
        let Ok(Some(origin)) = head::unique(&head.headers, &header::ORIGIN) else { return };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static(VARY));
        let Ok(host) = head::host(head) else { return };
        if !self.origins.allows(origin, &self.hosts, host.unwrap_or_default()) {
            return;
        }
        let Ok(value) = HeaderValue::from_str(origin) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        if head.method == http::Method::OPTIONS {
            set(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            set(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            let requested = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            let default = || HeaderValue::from_static(REQUEST_HEADERS);
            let allowed = requested.cloned().unwrap_or_else(default);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
    }
}
