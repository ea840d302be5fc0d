//! The end of the validity of a credential, as an extension of a request.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio::time::Instant;

/// When the credential of a request becomes invalid. A layer that authenticates requests can insert
/// it as an extension of the request, beside its [`Principal`](crate::Principal).
///
/// The service then closes the streams that it has opened for the request, and its client
/// reconnects with a new credential, resumes, and misses nothing. The SSE stream of a POST whose
/// client has no event id to resume after ends with its response instead, and so does a response
/// in JSON.
///
/// ```
/// use std::time::Duration;
///
/// use rejoin::{CredentialExpiry, Principal};
/// use tokio::time::Instant;
///
/// fn accept<B>(request: &mut http::Request<B>, subject: &str, lifetime: Duration) {
///     let extensions = request.extensions_mut();
///     extensions.insert(Principal::new("https://issuer.example", subject));
///     extensions.insert(CredentialExpiry::at(Instant::now() + lifetime));
/// }
/// ```
#[derive(Clone)]
pub struct CredentialExpiry(Arc<dyn Fn() -> Expired + Send + Sync>);

/// Resolves when a credential has become invalid.
pub(super) type Expired = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl CredentialExpiry {
    /// The credential expires at a certain time.
    #[must_use]
    pub fn at(time: Instant) -> Self {
        Self::when(move || tokio::time::sleep_until(time))
    }

    /// The credential becomes invalid when a future resolves, for example because it was revoked.
    /// `expired` is called for each stream.
    #[must_use]
    pub fn when<F>(expired: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + Sync + 'static,
    {
        Self(Arc::new(move || Box::pin(expired())))
    }

    /// Waits until the credential is invalid.
    pub fn expired(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.start()
    }

    pub(super) fn start(&self) -> Expired {
        (self.0)()
    }
}

impl fmt::Debug for CredentialExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialExpiry").finish_non_exhaustive()
    }
}
