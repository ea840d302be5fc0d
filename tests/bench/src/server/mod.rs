//! The servers, each of which is this program in a process of its own.

mod bare_hyper;
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

use self::bare_hyper::{BareHyper, ResponseParts};
pub(crate) use self::spawn::Server;
use crate::{
    backend::{Handler, Inline, MessageForm},
    measure::Flavor,
    service::Service,
};

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Bare hyper: the answer in one part
    HyperOnePart,
    /// Bare hyper: the answer in two parts that are there at once
    HyperTwoParts,
    /// Bare hyper: the answer in two parts, the second of which comes from a task
    HyperTwoWrites,
    /// rejoin, with a handler
    Rejoin,
    /// rejoin, with a handler that needs no task
    RejoinInline,
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
        Self::HyperOnePart,
        Self::HyperTwoParts,
        Self::HyperTwoWrites,
        Self::Rejoin,
        Self::RejoinInline,
        Self::RejoinService,
        Self::Rmcp,
        Self::TowerMcp,
    ];

    /// Returns how it is called in a report.
    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::HyperOnePart => "limit, whole",
            Self::HyperTwoParts => "limit, two parts",
            Self::HyperTwoWrites => "limit, two writes",
            Self::Rejoin => "rejoin",
            Self::RejoinInline => "rejoin, in place",
            Self::RejoinService => "rejoin + rmcp service",
            Self::Rmcp => "rmcp",
            Self::TowerMcp => "tower-mcp",
        }
    }

    /// Returns whether it has sessions at all.
    pub(crate) fn is_bare_hyper(self) -> bool {
        matches!(self, Self::HyperOnePart | Self::HyperTwoParts | Self::HyperTwoWrites)
    }
}

/// Serves until nobody holds the other end of stdin any more.
pub(crate) fn serve(kind: Kind, text: &str) -> Result<()> {
    let text = text.to_owned();
    Flavor::MultiThread.runtime()?.block_on(async move {
        match kind {
            Kind::HyperOnePart => listen::serve(BareHyper::new(ResponseParts::One, &text))?,
            Kind::HyperTwoParts => listen::serve(BareHyper::new(ResponseParts::Two, &text))?,
            Kind::HyperTwoWrites => listen::serve(BareHyper::new(ResponseParts::TwoWrites, &text))?,
            Kind::Rejoin => listen::serve(rejoin(Handler(MessageForm::WithHead))?)?,
            Kind::RejoinInline => listen::serve(rejoin(Inline(MessageForm::WithHead))?)?,
            Kind::RejoinService => {
                let backend = RmcpBackend::new(|| Ok(Service::default()));
                listen::serve(rejoin(backend)?)?;
            }
            Kind::Rmcp => listen::serve(rmcp())?,
            Kind::TowerMcp => listen::serve(tower_mcp::router())?,
        }
        wait_for_stdin_eof().await;
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

async fn wait_for_stdin_eof() {
    let mut nothing = Vec::new();
    // An error is an end, too.
    let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
}
