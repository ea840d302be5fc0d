//! The servers, each of which is this program in a process of its own.

mod limit;
mod listen;
mod spawn;
mod tower_mcp;

use std::{io, sync::Arc};

use anyhow::Result;
use rejoin::{Backend, HttpConfig, ManagerConfig, RmcpBackend, SessionManager, StreamableHttp};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::local::LocalSessionManager,
};
use tokio::io::AsyncReadExt as _;

use self::limit::{Limit, Parts};
pub(crate) use self::spawn::Server;
use crate::{
    backend::{Handler, InPlace, Says},
    measure::Flavor,
    service::Service,
};

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Bare hyper: the answer in one part
    Whole,
    /// Bare hyper: the answer in two parts that are there at once
    Parts,
    /// Bare hyper: the answer in two parts, the second of which comes from a task
    Late,
    /// rejoin, with a handler
    Rejoin,
    /// rejoin, with a handler that needs no task
    InPlace,
    /// rejoin, with an rmcp service
    RejoinService,
    /// rmcp
    Rmcp,
    /// tower-mcp, which answers by SSE here
    TowerMcp,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Whole,
        Self::Parts,
        Self::Late,
        Self::Rejoin,
        Self::InPlace,
        Self::RejoinService,
        Self::Rmcp,
        Self::TowerMcp,
    ];

    /// Returns how it is called in a report.
    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::Whole => "limit, whole",
            Self::Parts => "limit, two parts",
            Self::Late => "limit, two writes",
            Self::Rejoin => "rejoin",
            Self::InPlace => "rejoin, in place",
            Self::RejoinService => "rejoin + rmcp service",
            Self::Rmcp => "rmcp",
            Self::TowerMcp => "tower-mcp",
        }
    }

    /// Returns whether it has sessions at all.
    pub(crate) fn is_limit(self) -> bool {
        matches!(self, Self::Whole | Self::Parts | Self::Late)
    }
}

/// Serves until nobody holds the other end of stdin any more.
pub(crate) fn serve(kind: Kind, text: &str) -> Result<()> {
    let text = text.to_owned();
    Flavor::MultiThread.runtime()?.block_on(async move {
        match kind {
            Kind::Whole => listen::begin(Limit::new(Parts::Whole, &text))?,
            Kind::Parts => listen::begin(Limit::new(Parts::Two, &text))?,
            Kind::Late => listen::begin(Limit::new(Parts::Late, &text))?,
            Kind::Rejoin => listen::begin(rejoin(Handler(Says::Heads))?)?,
            Kind::InPlace => listen::begin(rejoin(InPlace(Says::Heads))?)?,
            Kind::RejoinService => {
                let backend = RmcpBackend::new(|| Ok(Service::default()));
                listen::begin(rejoin(backend)?)?;
            }
            Kind::Rmcp => listen::begin(rmcp())?,
            Kind::TowerMcp => listen::begin(tower_mcp::router())?,
        }
        wait_for_the_end().await;
        Ok(())
    })
}

/// As by default.
fn rejoin(backend: impl Backend) -> Result<StreamableHttp> {
    let sessions = SessionManager::new(backend, ManagerConfig::default())?;
    Ok(StreamableHttp::new(sessions, HttpConfig::default())?)
}

/// As by default.
fn rmcp() -> StreamableHttpService<Service, LocalSessionManager> {
    let make = || io::Result::Ok(Service::default());
    StreamableHttpService::new(make, Arc::default(), StreamableHttpServerConfig::default())
}

async fn wait_for_the_end() {
    let mut nothing = Vec::new();
    // An error is an end, too.
    let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
}
