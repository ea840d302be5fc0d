//! `rejoin serve`.

mod hello;
mod listen;
mod router;
mod signals;

use anyhow::Context as _;
use rejoin::{SessionManager, StreamableHttp, journal::Journal};

use self::{listen::Listener, router::Router, signals::Signals};
use crate::{config::Config, demo, logging};

/// Serves until a signal says that it is enough.
///
/// # Errors
///
/// The address cannot be listened on.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    logging::begin(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let sessions = begin(&config)?;
    let service = StreamableHttp::new(sessions.clone(), config.http.clone())?;
    let router = Router::new(config.path.clone(), service);
    let mut signals = Signals::catch()?;
    let listener = Listener::bind(&config)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    // Nobody has to listen to what it says.
    let _ = hello::say(listener.address()?, &config.path);
    tokio::select! {
        () = listener.accept(&router) => {}
        signal = signals.next() => tracing::info!(signal, "ending"),
    }
    sessions.close_all();
    tokio::select! {
        is_done = listener.drain(config.drain_timeout) => {
            if !is_done {
                tracing::warn!("connections did not end in time, and were cut");
            }
        }
        signal = signals.next() => tracing::warn!(signal, "ending at once"),
    }
    Ok(())
}

fn begin(config: &Config) -> anyhow::Result<SessionManager> {
    let settings = config.sessions.clone();
    let Some(folder) = &config.journal else {
        return Ok(SessionManager::new(demo::backend(), settings)?);
    };
    let journal = Journal::begin(folder, config.journal_bytes_max as u64)
        .with_context(|| format!("cannot write journals to {}", folder.display()))?;
    Ok(SessionManager::with_journal(demo::backend(), settings, journal)?)
}
