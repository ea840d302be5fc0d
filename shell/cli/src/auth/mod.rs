//! Authentication of requests by keys or tokens, and what the session knows of its principal.

mod caller;
mod config;
mod credential;
mod keys;
mod oauth;
mod rate;
mod reason;
mod response;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response, header, request::Parts};
use rejoin::{
    Authenticate, CredentialExpiry, HttpConfig, HttpConfigError, Principal, SessionManager,
    StreamableHttp,
};
use tokio::task::spawn_blocking;

pub(crate) use self::{caller::stdio_backend, config::AuthConfig, response::described_path};
use self::{
    credential::{Credential, X_API_KEY},
    keys::Keys,
    oauth::ResourceServer,
    rate::RequestRate,
    reason::Reason,
    response::Resource,
};
use crate::admin::Metrics;

/// Authenticates the requests of all servers. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Option<Keys>,
    tokens: Option<ResourceServer>,
    /// The origin of the URL that clients use. Known if tokens are accepted.
    public_url: String,
    rate: Option<RequestRate>,
    /// `None` without a listener for operators.
    metrics: Option<Metrics>,
}

impl Auth {
    /// Creates it by a configuration; `None` if requests need neither credentials nor are limited.
    ///
    /// # Errors
    ///
    /// The file of keys is invalid, a URL is not accepted, or TLS cannot be set up.
    pub(crate) fn new(
        config: &AuthConfig,
        metrics: Option<Metrics>,
    ) -> anyhow::Result<Option<Self>> {
        if !config.has_credentials() && config.requests_per_second_max.is_none() {
            return Ok(None);
        }
        let keys = config.keys.as_ref().map(|file| Keys::read(PathBuf::from(file)));
        let tokens = config.issuer.as_ref().map(|issuer| ResourceServer::new(issuer, config));
        Ok(Some(Self(Arc::new(Inner {
            keys: keys.transpose().context("--auth-keys")?,
            tokens: tokens.transpose()?,
            public_url: config.public_url.clone().unwrap_or_default(),
            rate: config.requests_per_second_max.map(RequestRate::new),
            metrics,
        }))))
    }

    /// Returns the service of a server, with authentication.
    pub(crate) fn service(
        auth: Option<&Self>,
        sessions: SessionManager,
        config: HttpConfig,
    ) -> Result<StreamableHttp, HttpConfigError> {
        match auth {
            Some(auth) => StreamableHttp::authenticated(sessions, config, auth.clone()),
            None => StreamableHttp::new(sessions, config),
        }
    }

    /// Fetches the keys of the issuer in advance. Must be called in a tokio runtime.
    pub(crate) fn prepare(&self) {
        if let Some(tokens) = &self.0.tokens {
            tokens.prepare();
        }
    }

    /// Reads the file of keys again. Nothing changes if it is invalid, which is logged.
    pub(crate) async fn reload(&self) {
        if self.0.keys.is_none() {
            return;
        }
        let auth = self.clone();
        let reload = move || auth.0.keys.as_ref().map_or(Ok(()), Keys::reload);
        match spawn_blocking(reload).await.context("cannot read the file").flatten() {
            Ok(()) => tracing::info!("keys reloaded"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "keys not reloaded: the former ones stay valid");
            }
        }
    }

    /// Returns the metadata of the resource at a path; `None` if tokens are not accepted.
    pub(crate) fn metadata(&self, path: &str, method: &Method) -> Option<Response<Bytes>> {
        Some(self.0.resource(path)?.metadata(method))
    }
}

impl Authenticate for Auth {
    async fn authenticate(&self, head: &mut Parts) -> Result<(), Response<Bytes>> {
        if self.0.has_credentials() {
            let identified = self.0.identify(head).await;
            let (principal, expiry) = identified.map_err(|reason| {
                self.0.record(reason, head);
                response::refusal(reason, self.0.resource(head.uri.path()))
            })?;
            // Takes the place of that of a client certificate, which may be that of a proxy.
            head.extensions.insert(principal);
            // The client needs both.
            let expiry = match head.extensions.remove() {
                Some(certificate) => first(certificate, expiry),
                None => expiry,
            };
            head.extensions.insert(expiry);
            // The credential is for this program, and for no backend.
            head.headers.remove(header::AUTHORIZATION);
        }
        if self.0.keys.is_some() {
            head.headers.remove(X_API_KEY);
        }
        if let (Some(rate), Some(principal)) = (&self.0.rate, head.extensions.get()) {
            rate.count(principal).map_err(|wait| {
                self.0.record(Reason::RateLimit, head);
                response::too_many_requests(wait)
            })?;
        }
        Ok(())
    }

    fn on_foreign_session(&self, head: &Parts) {
        self.0.record(Reason::ForeignSession, head);
    }
}

/// Returns an expiry that is the earlier one of two.
fn first(one: CredentialExpiry, other: CredentialExpiry) -> CredentialExpiry {
    CredentialExpiry::when(move || {
        let (one, other) = (one.expired(), other.expired());
        async {
            tokio::select! {
                () = one => {}
                () = other => {}
            }
        }
    })
}

impl Inner {
    /// Returns whether requests need a key or a token. Otherwise their principal is that of the
    /// client certificate.
    fn has_credentials(&self) -> bool {
        self.keys.is_some() || self.tokens.is_some()
    }

    /// Records why a request is refused.
    fn record(&self, reason: Reason, head: &Parts) {
        reason.log(head);
        if let Some(metrics) = &self.metrics {
            metrics.count_auth_failure(reason.name());
        }
    }

    /// Returns who makes a request, and when its credential expires.
    async fn identify(&self, head: &Parts) -> Result<(Principal, CredentialExpiry), Reason> {
        let credential = Credential::find(&head.uri, &head.headers, self.keys.is_some())?;
        let (Credential::Bearer(text) | Credential::Key(text)) = credential;
        if let Some(found) = self.keys.as_ref().and_then(|keys| keys.find(text)) {
            return Ok(found);
        }
        match (credential, &self.tokens) {
            (Credential::Bearer(token), Some(tokens)) => {
                let (principal, expires_at) = tokens.verify(token).await?;
                Ok((principal, CredentialExpiry::at(expires_at)))
            }
            (Credential::Bearer(_) | Credential::Key(_), _) => Err(Reason::UnknownKey),
        }
    }

    /// Returns the resource at a path, if tokens are accepted.
    fn resource<'a>(&'a self, path: &'a str) -> Option<Resource<'a>> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let server = self.tokens.as_ref()?;
        Some(Resource { public_url: &self.public_url, path, server })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, StatusCode};
    use tokio::time::{Instant, timeout};

    use super::*;

    /// The hash of `secret`.
    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn auth() -> Auth {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("ada sha256:{HASH}")).unwrap();
        let keys = Some(file.path().to_str().unwrap().to_owned());
        Auth::new(&AuthConfig { keys, ..AuthConfig::default() }, None).unwrap().unwrap()
    }

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn backends_get_the_principal_and_not_the_credential() {
        let auth = auth();
        for credential in [("authorization", "Bearer secret"), ("x-api-key", "secret")] {
            let mut head = head(&[credential, ("x-other", "a")]);
            auth.authenticate(&mut head).await.unwrap();
            assert_eq!(head.extensions.get(), Some(&Principal::new(keys::ISSUER, "ada")));
            assert_eq!(head.headers.len(), 1, "{:?}", head.headers);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_expires_with_the_client_certificate() {
        let auth = auth();
        let mut head = head(&[("x-api-key", "secret")]);
        let second = Duration::from_secs(1);
        head.extensions.insert(CredentialExpiry::at(Instant::now() + second));
        auth.authenticate(&mut head).await.unwrap();
        let expiry = head.extensions.get::<CredentialExpiry>().unwrap();
        timeout(second / 2, expiry.expired()).await.unwrap_err();
        timeout(second, expiry.expired()).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_certificate_does_not_take_the_place_of_a_credential() {
        let auth = auth();
        let certified = |headers: &[(&str, &str)]| {
            let mut head = head(headers);
            head.extensions.insert(Principal::new("tls", "CN=proxy"));
            head
        };
        let refused = auth.authenticate(&mut certified(&[])).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        let mut head = certified(&[("x-api-key", "secret")]);
        auth.authenticate(&mut head).await.unwrap();
        assert_eq!(head.extensions.get(), Some(&Principal::new(keys::ISSUER, "ada")));
    }
}
