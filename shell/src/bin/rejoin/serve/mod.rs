//! `rejoin serve`.

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
use crate::{config::ProgramConfig, demo, logging};

/// How long a child may take beyond its grace, so that the system can end its processes.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long clients have at least to read why their calls failed.
const FLUSH_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// How long tasks have to end with the program.
const TASKS_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until a signal says that it is enough.
///
/// # Errors
///
/// There is no such command, the address cannot be listened on, journals cannot be written,
/// or the guard cannot be started.
pub(crate) fn run(mut config: ProgramConfig) -> anyhow::Result<()> {
    let _logging = logging::start(config.log_format, &config.log_level.filter())?;
    open_files::raise_limit(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config));
    // What blocks a thread does not hold up the end.
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
            let (sessions, limit) = (sessions.sessions(), config.drain_timeout);
            tracing::info!(signal, sessions, ?limit, "shutting down: calls in flight may finish");
        }
    }
    tokio::select! {
        () = shut_down(listener, &router, &sessions, children, &config) => {
            tracing::info!("shut down");
        }
        signal = signals.next() => tracing::warn!(signal, "second signal: exiting at once"),
    }
    Ok(())
}

/// Lets calls in flight finish, then ends everything.
async fn shut_down(
    listener: Listener,
    router: &Router,
    sessions: &SessionManager,
    children: Option<StdioBackend>,
    config: &ProgramConfig,
) {
    let limit = Instant::now() + config.drain_timeout;
    tokio::select! {
        () = sessions.drain(config.http.reconnect_delay) => {}
        // Clients of sessions that are still there may come on new connections.
        () = listener.accept(router) => {}
        () = tokio::time::sleep_until(limit) => {
            let sessions = sessions.sessions();
            tracing::warn!(sessions, "calls did not finish in time, and fail");
        }
    }
    sessions.close_all();
    let left = limit.saturating_duration_since(Instant::now()).max(FLUSH_TIMEOUT_MIN);
    tokio::join!(drain_listener(listener, left), wait_for_children(children, config));
}

/// Makes the sessions, and returns the backend that has children, if it has any.
fn create_sessions(
    config: &ProgramConfig,
) -> anyhow::Result<(SessionManager, Option<StdioBackend>)> {
    let Some(stdio) = config.stdio()? else {
        return Ok((create_manager(demo::backend(), config)?, None));
    };
    let backend = StdioBackend::new(stdio)?;
    Ok((create_manager(backend.clone(), config)?, Some(backend)))
}

fn create_manager(backend: impl Backend, config: &ProgramConfig) -> anyhow::Result<SessionManager> {
    let settings = config.sessions.clone();
    let Some(folder) = &config.journal else {
        return Ok(SessionManager::new(backend, settings)?);
    };
    let journal = Journal::begin(folder, config.journal_bytes_max as u64)
        .with_context(|| format!("cannot write journals to {}", folder.display()))?;
    Ok(SessionManager::with_journal(backend, settings, journal)?)
}

async fn drain_listener(listener: Listener, timeout: Duration) {
    if !listener.drain(timeout).await {
        tracing::warn!("some responses were not read in time, and were cut off");
    }
}

async fn wait_for_children(children: Option<StdioBackend>, config: &ProgramConfig) {
    let Some(children) = children else { return };
    if tokio::time::timeout(config.stop_timeout + KILL_TIMEOUT, children.ended()).await.is_err() {
        tracing::warn!("some server processes did not end in time, and are killed");
    }
}
