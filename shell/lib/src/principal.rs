//! The principal: who makes a request, and to whom a session belongs.

use std::{fmt, sync::Arc};

/// Who makes a request: a subject, as an issuer of credentials names it.
///
/// A layer that authenticates requests inserts it as an extension of the request, and
/// [`StreamableHttp`](crate::StreamableHttp) takes it from there:
///
/// ```
/// # use axum::{extract::Request, http::StatusCode, middleware::{self, Next}, response::Response};
/// use rejoin::Principal;
///
/// # fn subject_of_valid_token(_: &Request) -> Option<String> { None }
/// async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
///     let subject = subject_of_valid_token(&request).ok_or(StatusCode::UNAUTHORIZED)?;
///     request.extensions_mut().insert(Principal::new("https://issuer.example", &subject));
///     Ok(next.run(request).await)
/// }
/// # fn app(mcp: rejoin::StreamableHttp) -> axum::Router {
/// axum::Router::new().route_service("/mcp", mcp).layer(middleware::from_fn(authenticate))
/// # }
/// ```
///
/// A session belongs to the principal whose request has opened it. For any other one, and for a
/// request without a principal, it does not exist. A session that was opened without a principal
/// exists only for requests without one. Credentials are not compared, so a client can renew its
/// own without losing its session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal(Arc<Names>);

#[derive(PartialEq, Eq, Hash)]
struct Names {
    issuer: Box<str>,
    subject: Box<str>,
}

impl Principal {
    /// Creates a principal. Two are equal if both their issuers and their subjects are, byte for
    /// byte.
    #[must_use]
    pub fn new(issuer: &str, subject: &str) -> Self {
        Self(Arc::new(Names { issuer: issuer.into(), subject: subject.into() }))
    }

    /// Returns who has named the subject, such as the URL of an authorization server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Returns the name of the subject, which is unique for its issuer only.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({:?}, {:?})", self.issuer(), self.subject())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_equal_by_issuer_and_subject() {
        let principal = Principal::new("issuer", "subject");
        assert_eq!(principal, Principal::new("issuer", "subject"));
        for (issuer, subject) in [
            ("issuer", "other"),
            ("other", "subject"),
            ("issuers", "ubject"),
            ("", "issuersubject"),
        ] {
            assert_ne!(principal, Principal::new(issuer, subject));
        }
    }
}
