//! `rejoin serve`: the listener, the sessions and the shutdown.

mod acceptor;
mod access_log;
mod activity;
mod bodies;
mod client_certificate;
mod greeting;
pub(crate) mod http1;
mod http2;
mod listener;
mod open_files;
mod router;
mod servers;
mod shutdown;
mod socket;
mod systemd;
mod tls;
mod transport;

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::Signal;

pub(crate) use self::{
    acceptor::{Accepted, Acceptor, Limits},
    activity::Timeouts,
    bodies::TrackedRequestBody,
    servers::{Server, Servers},
    transport::Transport,
};
use self::{listener::Listener, router::Router, shutdown::shut_down, tls::Tls};
use crate::{
    admin::Admin,
    config::{NamedServer, ProgramConfig},
    logging,
    readiness::Readiness,
    signals::Signals,
};

/// How long the shutdown waits for tasks that block a thread.
const TASKS_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until a signal ends the program.
///
/// # Errors
///
/// The file of servers or those for TLS are invalid, a command does not exist, the address cannot
/// be bound, journals cannot be written, or the watchdog cannot be started.
pub(crate) fn run(mut config: ProgramConfig) -> anyhow::Result<()> {
    let _logging = logging::start(config.log_format, config.log_level.directives())?;
    // The command gets the former soft limit, so the limit is raised before the file is read.
    open_files::raise_limit(&mut config);
    let named = config.read_servers().map_err(|error| on_one_line(&error))?;
    open_files::limit_connections(&mut config, named.as_deref());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config, named));
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    served
}

/// Returns an error of the file with what has caused it in one line, as the log has it.
fn on_one_line(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

async fn serve(config: ProgramConfig, named: Option<Vec<NamedServer>>) -> anyhow::Result<()> {
    let tls = config.tls_files().map(Tls::load).transpose().map_err(|error| on_one_line(&error))?;
    let reloads = named.is_some() || tls.is_some() || config.auth.keys.is_some();
    let servers = Servers::create(config.clone(), named).map_err(|error| on_one_line(&error))?;
    if let Some(auth) = servers.auth() {
        auth.prepare();
    }
    let readiness = Readiness::default();
    let admin = bind_admin(&config, &servers, &readiness)?;
    let router = Router::new(servers.clone(), readiness.clone());
    let (mut signals, reload) = Signals::install(reloads)?;
    let mut listener = Listener::bind(&config, tls.clone())
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    if let Some(admin) = admin {
        tracing::info!(address = %admin.address()?, "listening for operators");
        tokio::spawn(admin.serve());
    }
    readiness.begin();
    greeting::print(listener.address()?, &config, &servers.paths());
    if let Some(signal) = reload {
        tokio::spawn(reload_on(signal, servers.clone(), tls));
    }
    systemd::ready();
    tokio::spawn(systemd::keep_alive());
    tokio::select! {
        () = listener.accept(&router) => {}
        signal = signals.next() => {
            let (delay, timeout) = (config.drain_delay, config.drain_timeout);
            let sessions = servers.sessions();
            tracing::info!(signal, sessions, ?delay, ?timeout, "shutting down: waiting for pending requests");
        }
    }
    tokio::select! {
        () = shut_down(listener, &router, &servers, &readiness, &config) => {
            tracing::info!("shutdown complete");
        }
        signal = signals.next() => tracing::warn!(signal, "second signal: exiting immediately"),
    }
    Ok(())
}

/// Binds the listener for operators, if it is configured.
fn bind_admin(
    config: &ProgramConfig,
    servers: &Servers,
    readiness: &Readiness,
) -> anyhow::Result<Option<Admin>> {
    let (Some(address), Some(metrics)) = (config.admin, servers.metrics()) else { return Ok(None) };
    let timeouts = Timeouts { idle: config.connection_idle_timeout, header: config.header_timeout };
    let admin = Admin::bind(address, timeouts, servers.clone(), readiness.clone(), metrics);
    admin.map(Some).with_context(|| format!("cannot listen on {address} for operators"))
}

/// Reloads whenever the signal arrives. Signals that arrive meanwhile cause one more reload.
async fn reload_on(mut signal: Signal, servers: Servers, tls: Option<Tls>) {
    while signal.recv().await.is_some() {
        systemd::reloading();
        if let Some(auth) = servers.auth() {
            auth.reload().await;
        }
        if let Some(tls) = &tls {
            tls.reload().await;
        }
        servers.reload().await;
        systemd::ready();
    }
}
