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

use std::{io, net::SocketAddr};

use axum::Router;
use tokio::net::TcpListener;

pub(crate) use self::metrics::Metrics;
use crate::{readiness::Readiness, serve::Servers};

/// The listener, which is bound.
pub(crate) struct Admin {
    listener: TcpListener,
    router: Router,
}

impl Admin {
    /// Binds the address.
    pub(crate) async fn bind(
        address: SocketAddr,
        servers: Servers,
        readiness: Readiness,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, router: routes::router(servers, readiness, metrics) })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the future is dropped.
    pub(crate) async fn serve(self) {
        if let Err(error) = axum::serve(self.listener, self.router).await {
            tracing::error!(%error, "the listener for operators has failed");
        }
    }
}
