//! Authentication of requests, between the checks of `Host` and `Origin` and the lookup of the
//! session.

use std::{fmt, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, request::Parts};

use crate::log;

/// Decides who makes a request: see
/// [`StreamableHttp::authenticated`](super::StreamableHttp::authenticated).
pub trait Authenticate: Send + Sync + 'static {
    /// Authenticates a request: inserts its [`Principal`](crate::Principal) as an extension, and a
    /// [`CredentialExpiry`](crate::CredentialExpiry) if its credential does not stay valid. It may
    /// remove the headers that the backend must not see.
    ///
    /// # Errors
    ///
    /// The response to a request that is not served.
    fn authenticate(
        &self,
        head: &mut Parts,
    ) -> impl Future<Output = Result<(), Response<Bytes>>> + Send;

    /// Called when a request names a session that does not belong to its principal, before it is
    /// answered as if there were no such session. Logs it by default.
    fn on_foreign_session(&self, head: &Parts) {
        log::foreign_session(head);
    }
}

/// [`Authenticate`] as a trait object.
pub(super) trait AnyAuthenticate: Send + Sync {
    fn authenticate_any<'a>(&'a self, head: &'a mut Parts) -> Authentication<'a>;

    fn on_foreign_session(&self, head: &Parts);
}

type Authentication<'a> = Pin<Box<dyn Future<Output = Result<(), Response<Bytes>>> + Send + 'a>>;

impl<A: Authenticate> AnyAuthenticate for A {
    fn authenticate_any<'a>(&'a self, head: &'a mut Parts) -> Authentication<'a> {
        Box::pin(self.authenticate(head))
    }

    fn on_foreign_session(&self, head: &Parts) {
        Authenticate::on_foreign_session(self, head);
    }
}

impl fmt::Debug for dyn AnyAuthenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").finish_non_exhaustive()
    }
}
