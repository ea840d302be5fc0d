//! HTTP servers, each of which runs this program in a process of its own.

mod bare_hyper;
mod listen;
mod spawn;
mod tower_mcp;

use std::{io, path::Path, sync::Arc};

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
    tls,
};

/// Kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Bare hyper: the response in one part
    HyperOnePart,
    /// Bare hyper: the response in two parts that are ready at once
    HyperTwoParts,
    /// Bare hyper: the response in two parts, the second of which comes from a task
    HyperTwoWrites,
    /// rejoin, with a handler in a task
    Rejoin,
    /// rejoin, with an inline handler
    RejoinInline,
    /// rejoin, with a service of rmcp
    RejoinService,
    /// rmcp
    Rmcp,
    /// tower-mcp, with SSE responses
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

    /// Returns the name in reports.
    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::HyperOnePart => "bare hyper, one part",
            Self::HyperTwoParts => "bare hyper, two parts",
            Self::HyperTwoWrites => "bare hyper, two writes",
            Self::Rejoin => "rejoin",
            Self::RejoinInline => "rejoin, inline",
            Self::RejoinService => "rejoin + rmcp service",
            Self::Rmcp => "rmcp",
            Self::TowerMcp => "tower-mcp",
        }
    }

    /// Returns whether the server is bare hyper, which has no sessions.
    pub(crate) fn is_bare_hyper(self) -> bool {
        matches!(self, Self::HyperOnePart | Self::HyperTwoParts | Self::HyperTwoWrites)
    }
}

/// Serves until stdin is closed.
pub(crate) fn serve(kind: Kind, text: &str, tls: Option<&Path>) -> Result<()> {
    let tls = tls.map(tls::acceptor).transpose()?;
    let text = text.to_owned();
    Flavor::MultiThread.runtime()?.block_on(async move {
        match kind {
            Kind::HyperOnePart => listen::serve(BareHyper::new(ResponseParts::One, &text), tls)?,
            Kind::HyperTwoParts => listen::serve(BareHyper::new(ResponseParts::Two, &text), tls)?,
            Kind::HyperTwoWrites => {
                listen::serve(BareHyper::new(ResponseParts::TwoWrites, &text), tls)?;
            }
            Kind::Rejoin => listen::serve(rejoin(Handler(MessageForm::WithHead))?, tls)?,
            Kind::RejoinInline => listen::serve(rejoin(Inline(MessageForm::WithHead))?, tls)?,
            Kind::RejoinService => {
                let backend = RmcpBackend::new(|| Ok(Service::default()));
                listen::serve(rejoin(backend)?, tls)?;
            }
            Kind::Rmcp => listen::serve(rmcp(), tls)?,
            Kind::TowerMcp => listen::serve(tower_mcp::router(), tls)?,
        }
        wait_for_stdin_eof().await;
        Ok(())
    })
}

/// Returns the service with the default configuration.
fn rejoin(backend: impl Backend) -> Result<StreamableHttp> {
    let sessions = SessionManager::new(backend, ManagerConfig::default())?;
    Ok(StreamableHttp::new(sessions, HttpConfig::default())?)
}

/// Returns the service with the default configuration.
fn rmcp() -> StreamableHttpService<Service, LocalSessionManager> {
    let make = || io::Result::Ok(Service::default());
    StreamableHttpService::new(make, Arc::default(), StreamableHttpServerConfig::default())
}

async fn wait_for_stdin_eof() {
    let mut input = Vec::new();
    // An error counts as the end.
    let _ = tokio::io::stdin().read_to_end(&mut input).await;
}
