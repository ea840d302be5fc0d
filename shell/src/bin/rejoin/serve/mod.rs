//! `rejoin serve`.

mod activity;
mod bodies;
mod hello;
mod listen;
mod router;
mod signals;
mod socket;

use std::time::Duration;

use anyhow::Context as _;
use rejoin::{Backend, SessionManager, StdioBackend, StreamableHttp, journal::Journal};

use self::{listen::Listener, router::Router, signals::Signals};
use crate::{config::Config, demo, logging};

/// How long a child may take beyond its grace, so that the system can end its processes.
const KILL_TIME: Duration = Duration::from_secs(1);

/// Serves until a signal says that it is enough.
///
/// # Errors
///
/// The address cannot be listened on, or the guard cannot be started.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let _logging = logging::start(config.log_format, &config.log_level.filter())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let (sessions, children) = sessions(&config)?;
    let service = StreamableHttp::new(sessions.clone(), config.http())?;
    let router = Router::new(config.path.clone(), service);
    let mut signals = Signals::catch()?;
    let listener =
        Listener::bind(&config).with_context(|| format!("cannot listen on {}", config.listen))?;
    hello::say(listener.address()?, &config);
    tokio::select! {
        () = listener.accept(&router) => {}
        signal = signals.next() => tracing::info!(signal, "ending"),
    }
    sessions.close_all();
    tokio::select! {
        ((), ()) = async { tokio::join!(drain(listener, &config), end(children, &config)) } => {}
        signal = signals.next() => tracing::warn!(signal, "ending at once"),
    }
    Ok(())
}

/// Makes the sessions, and returns the backend that has children, if it has any.
fn sessions(config: &Config) -> anyhow::Result<(SessionManager, Option<StdioBackend>)> {
    let Some(stdio) = config.stdio()? else {
        return Ok((begin(demo::backend(), config)?, None));
    };
    let backend = StdioBackend::new(stdio).context("cannot start the guard")?;
    Ok((begin(backend.clone(), config)?, Some(backend)))
}

fn begin(backend: impl Backend, config: &Config) -> anyhow::Result<SessionManager> {
    let settings = config.sessions.clone();
    let Some(folder) = &config.journal else {
        return Ok(SessionManager::new(backend, settings)?);
    };
    let journal = Journal::begin(folder, config.journal_bytes_max as u64)
        .with_context(|| format!("cannot write journals to {}", folder.display()))?;
    Ok(SessionManager::with_journal(backend, settings, journal)?)
}

async fn drain(listener: Listener, config: &Config) {
    if !listener.drain(config.drain_timeout).await {
        tracing::warn!("connections did not end in time, and were cut");
    }
}

async fn end(children: Option<StdioBackend>, config: &Config) {
    let Some(children) = children else { return };
    if tokio::time::timeout(config.kill_grace + KILL_TIME, children.ended()).await.is_err() {
        tracing::warn!("servers did not end in time, and are killed");
    }
}
