//! Responses to requests that are not authenticated, and the metadata of the protected resource.
//!
//! Specification: RFC 6750, RFC 9728.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use super::{oauth::ResourceServer, reason::Reason};

/// The path of the metadata, which the path of the resource follows.
const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";

/// JSON-RPC 2.0, section 5.1.
const INVALID_REQUEST: i32 = -32_600;
const INTERNAL_ERROR: i32 = -32_603;

/// Seconds after which a client may retry when the keys of the issuer are not available.
const UNAVAILABLE_SECONDS: u64 = 10;

/// Who may access the resource at a path, for the metadata and for challenges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resource<'a> {
    pub(super) public_url: &'a str,
    pub(super) path: &'a str,
    pub(super) server: &'a ResourceServer,
}

/// Returns the path of the resource whose metadata is at a path: an empty one for the path without
/// a resource.
pub(crate) fn described_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(METADATA_PATH)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

impl Resource<'_> {
    /// Returns the metadata. Anyone may read it, also web pages of any origin.
    pub(super) fn metadata(self, method: &Method) -> Response<Bytes> {
        let body = match *method {
            Method::GET | Method::HEAD => json!({
                "resource": format!("{}{}", self.public_url, self.path),
                "authorization_servers": [self.server.issuer()],
                "scopes_supported": self.server.scopes(),
                "bearer_methods_supported": ["header"],
            }),
            Method::OPTIONS => json!({}),
            _ => return status(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
        };
        let mut response = status(StatusCode::OK, body.to_string().into());
        let headers = response.headers_mut();
        let any = HeaderValue::from_static("*");
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, any);
        response
    }

    /// Adds the parameters of a challenge.
    fn challenge(self, challenge: &mut String) {
        let Self { public_url, path, server } = self;
        // Writing to memory cannot fail.
        let _ = write!(challenge, " resource_metadata=\"{public_url}{METADATA_PATH}{path}\"");
        if !server.scopes().is_empty() {
            let _ = write!(challenge, ", scope=\"{}\"", server.scopes().join(" "));
        }
    }
}

/// Returns the response to a request that is refused. `resource` is known if tokens are accepted.
pub(super) fn refusal(reason: Reason, resource: Option<Resource<'_>>) -> Response<Bytes> {
    let code = if reason.status().is_server_error() { INTERNAL_ERROR } else { INVALID_REQUEST };
    let error = json!({ "code": code, "message": reason.message() });
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": error });
    let mut response = status(reason.status(), body.to_string().into());
    if matches!(reason.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || reason.error_code().is_some()
    {
        let mut challenge = "Bearer".to_owned();
        if let Some(resource) = resource {
            resource.challenge(&mut challenge);
        }
        if let Some(error) = reason.error_code() {
            let comma = if challenge.contains('"') { "," } else { "" };
            let message = reason.message();
            let _ = write!(challenge, "{comma} error=\"{error}\", error_description=\"{message}\"");
        }
        insert(&mut response, header::WWW_AUTHENTICATE, &challenge);
    }
    if reason == Reason::KeysUnavailable {
        insert(&mut response, header::RETRY_AFTER, &UNAVAILABLE_SECONDS.to_string());
    }
    response
}

/// Returns the response to one request too many.
pub(super) fn too_many_requests(wait: Duration) -> Response<Bytes> {
    let mut response = refusal(Reason::RateLimit, None);
    let seconds = wait.as_secs() + 1;
    insert(&mut response, header::RETRY_AFTER, &seconds.to_string());
    response
}

fn status(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Inserts a header, unless its value cannot be one.
fn insert(response: &mut Response<Bytes>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_resource_follows_that_of_its_metadata() {
        assert_eq!(described_path("/.well-known/oauth-protected-resource"), Some(""));
        assert_eq!(described_path("/.well-known/oauth-protected-resource/a/mcp"), Some("/a/mcp"));
        assert_eq!(described_path("/.well-known/oauth-protected-resources"), None);
        assert_eq!(described_path("/mcp"), None);
    }

    #[test]
    fn a_challenge_without_tokens_names_the_scheme() {
        let challenge =
            |reason| refusal(reason, None).headers().get(header::WWW_AUTHENTICATE).cloned();
        assert_eq!(challenge(Reason::Missing).unwrap(), "Bearer");
        let unknown = challenge(Reason::UnknownKey).unwrap();
        assert_eq!(
            unknown,
            r#"Bearer error="invalid_token", error_description="the credential is not valid""#
        );
        assert_eq!(challenge(Reason::RateLimit), None);
    }
}
