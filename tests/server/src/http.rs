//! The server behind the HTTP service of rejoin, in one process.

use std::io::{self, Write as _};

use axum::{Router, serve::ListenerExt as _};
use rejoin::{Backend, HttpConfig, ManagerConfig, RmcpBackend, SessionManager, StreamableHttp};
use tokio::net::TcpListener;

use super::server::Server;

/// Returns a backend with one server per session.
pub(super) fn backend() -> impl Backend {
    RmcpBackend::new(|| Ok(Server::default()))
}

/// Serves on a free port, and prints the URL.
pub(super) async fn serve() -> anyhow::Result<()> {
    let sessions = SessionManager::new(backend(), ManagerConfig::default())?;
    let mcp = StreamableHttp::new(sessions, HttpConfig::default())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    // Otherwise a response in several parts can be delayed by 40 ms.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, Router::new().route_service("/mcp", mcp)).await?;
    Ok(())
}
