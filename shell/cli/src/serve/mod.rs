//! `rejoin serve`: the listener, the sessions and the shutdown.

mod access_log;
mod activity;
mod bodies;
mod greeting;
mod listener;
mod open_files;
mod router;
mod signals;
mod socket;

use std::time::Duration;

use anyhow::Context as _;
use rejoin::{Backend, SessionManager, StdioBackend, StreamableHttp, journal::Journal};
use tokio::time::Instant;

use self::{listener::Listener, router::Router, signals::Signals};
use crate::{config::ProgramConfig, demo::Demo, logging};

/// How long a child process may take to end after `stop_timeout`, when it was killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

/// Minimum time for clients to read the errors of their failed requests.
const FLUSH_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// How long the shutdown waits for tasks that block a thread.
const TASKS_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until a signal ends the program.
///
/// # Errors
///
/// The command does not exist, the address cannot be bound, journals cannot be written, or the
/// watchdog cannot be started.
pub(crate) fn run(mut config: ProgramConfig) -> anyhow::Result<()> {
    let _logging = logging::start(config.log_format, config.log_level.directives())?;
    open_files::raise_limit(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config));
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    served
}

async fn serve(config: ProgramConfig) -> anyhow::Result<()> {
    let (sessions, children) = create_sessions(&config)?;
    let service = StreamableHttp::new(sessions.clone(), config.http())?;
    let router = Router::new(config.path.clone(), service);
    let mut signals = Signals::install()?;
    let listener =
        Listener::bind(&config).with_context(|| format!("cannot listen on {}", config.listen))?;
    greeting::print(listener.address()?, &config);
    tokio::select! {
        () = listener.accept(&router) => {}
        signal = signals.next() => {
            let (sessions, timeout) = (sessions.sessions(), config.drain_timeout);
            tracing::info!(signal, sessions, ?timeout, "shutting down: waiting for pending requests");
        }
    }
    tokio::select! {
        () = shut_down(listener, &router, &sessions, children, &config) => {
            tracing::info!("shutdown complete");
        }
        signal = signals.next() => tracing::warn!(signal, "second signal: exiting immediately"),
    }
    Ok(())
}

/// Waits for pending requests to finish, then closes all sessions and connections.
async fn shut_down(
    listener: Listener,
    router: &Router,
    sessions: &SessionManager,
    children: Option<StdioBackend>,
    config: &ProgramConfig,
) {
    let deadline = Instant::now() + config.drain_timeout;
    tokio::select! {
        () = sessions.drain(config.http.reconnect_delay) => {}
        // Clients of the remaining sessions may open new connections.
        () = listener.accept(router) => {}
        () = tokio::time::sleep_until(deadline) => {
            let sessions = sessions.sessions();
            tracing::warn!(sessions, "drain timeout: failing the pending requests of the remaining sessions");
        }
    }
    sessions.close_all();
    let left = deadline.saturating_duration_since(Instant::now()).max(FLUSH_TIMEOUT_MIN);
    tokio::join!(drain_listener(listener, left), wait_for_children(children, config));
}

/// Creates the session manager, and the stdio backend if a command is configured.
fn create_sessions(
    config: &ProgramConfig,
) -> anyhow::Result<(SessionManager, Option<StdioBackend>)> {
    let Some(stdio) = config.stdio()? else {
        return Ok((create_manager(Demo, config)?, None));
    };
    let backend = StdioBackend::new(stdio)?;
    Ok((create_manager(backend.clone(), config)?, Some(backend)))
}

fn create_manager(backend: impl Backend, config: &ProgramConfig) -> anyhow::Result<SessionManager> {
    let manager_config = config.sessions.clone();
    let Some(dir) = &config.journal else {
        return Ok(SessionManager::new(backend, manager_config)?);
    };
    let journal = Journal::create(dir, config.journal_bytes_max as u64)
        .with_context(|| format!("cannot write journals to {dir}"))?;
    Ok(SessionManager::with_journal(backend, manager_config, journal)?)
}

async fn drain_listener(listener: Listener, timeout: Duration) {
    if !listener.drain(timeout).await {
        tracing::warn!("some responses were not read in time; their connections were cut");
    }
}

async fn wait_for_children(children: Option<StdioBackend>, config: &ProgramConfig) {
    let Some(children) = children else { return };
    if tokio::time::timeout(config.stop_timeout + KILL_TIMEOUT, children.ended()).await.is_err() {
        tracing::warn!("some server processes did not exit in time; killing them");
    }
}
