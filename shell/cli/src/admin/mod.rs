//! The listener for operators: health, metrics, the sessions, and the live page.

mod history;
mod host;
mod live;
mod metrics;
mod on_demand;
mod routes;
mod session_list;
mod session_timeline;
mod sessions;

use std::{future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tower_service::Service as _;

pub(crate) use self::metrics::Metrics;
use crate::{
    readiness::Readiness,
    serve::{Accepted, Acceptor, Limits, Servers, Timeouts, TrackedRequestBody, Transport, http1},
};

/// The listener, which is bound.
pub(crate) struct Admin {
    acceptor: Acceptor,
    timeouts: Timeouts,
    router: Router,
}

/// Maximum number of connections. Twice as many as there are streams to viewers, so that health
/// checks are served beside them: each ends after its response.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// Maximum time until the headers of a request have begun, and then until they have ended. Short,
/// because health checks may have to wait for a silent client.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long what was sent may stay unacknowledged by TCP.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

impl Admin {
    /// Binds the address. The timeouts are those of the public listener, which may be shorter.
    pub(crate) fn bind(
        address: SocketAddr,
        timeouts: Timeouts,
        servers: Servers,
        readiness: Readiness,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let limits = Limits {
            connections_max: CONNECTIONS_MAX,
            listener: "operators",
            user_timeout: Some(USER_TIMEOUT),
        };
        let acceptor = Acceptor::bind(address, limits)?;
        let timeouts = Timeouts {
            idle: timeouts.idle.min(REQUEST_TIMEOUT),
            header: timeouts.header.min(REQUEST_TIMEOUT),
        };
        Ok(Self { acceptor, timeouts, router: routes::router(servers, readiness, metrics) })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.acceptor.address()
    }

    /// Serves until the future is dropped.
    pub(crate) async fn serve(self) {
        let Self { mut acceptor, timeouts, router } = self;
        let mut http = http1::builder();
        http.keep_alive(false);
        let http = Arc::new(http);
        loop {
            let Accepted { stream, peer, permit } = acceptor.accept().await;
            let (http, router) = (Arc::clone(&http), router.clone());
            tokio::spawn(async move {
                let respond = |request: http::Request<TrackedRequestBody>| {
                    let response = router.clone().call(request);
                    async {
                        let Ok(response) = response.await;
                        response
                    }
                };
                let stream = Transport::Tcp(stream);
                if let Err(error) = http1::serve(&http, stream, respond, timeouts, pending()).await
                {
                    tracing::debug!(%peer, %error, "connection error of an operator");
                }
                drop(permit);
            });
        }
    }
}
