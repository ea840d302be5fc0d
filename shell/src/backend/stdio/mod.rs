//! A child process for each session, which speaks MCP on its stdin and stdout.

mod child;
mod command;
mod config;
mod exit;
mod extension;
mod lines;
mod outline;
mod output;
mod parked;
mod parse;
mod printable;
mod process;
mod repair;
mod spawned;
mod stdin;
mod supervisor;
mod table;
mod throttle;
mod uncertain;
mod watchdog;
mod watchdog_process;

use std::{fmt, io, sync::Arc};

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use self::{
    child::Child, parked::Parked, spawned::SpawnedProcesses, supervisor::Supervisor,
    throttle::Throttle, watchdog::Watchdog,
};
pub use self::{config::StdioConfig, watchdog::WatchdogCommand, watchdog_process::run_watchdog};
use super::{Backend, ClientMessages, ClientSender, OpenError};

#[cfg(not(unix))]
compile_error!("the feature `stdio` needs Unix: it ends children by their process groups");

#[doc = include_str!("../../../docs/stdio.md")]
#[derive(Clone)]
pub struct StdioBackend(Arc<Shared>);

struct Shared {
    config: StdioConfig,
    supervisor: Arc<Supervisor>,
    throttle: Throttle,
    /// One permit for each child that may be started at the same time.
    start_permits: Semaphore,
    parked: Parked,
    /// One task for each child.
    children: TaskTracker,
}

impl StdioBackend {
    /// Makes a backend that starts a child for each session, and starts the guard, if
    /// there is to be one.
    ///
    /// # Errors
    ///
    /// There is no such command, or the guard cannot be started.
    pub fn new(config: StdioConfig) -> io::Result<Self> {
        config.check().map_err(io::Error::other)?;
        let (instance, spawned) = (rand::random(), SpawnedProcesses::default());
        let watchdog = config.watchdog.clone();
        let watchdog =
            watchdog.map(|watchdog| Watchdog::start(watchdog, instance, &spawned)).transpose();
        let watchdog = watchdog.map_err(|error| in_context("cannot start the guard", &error))?;
        let supervisor =
            Arc::new(Supervisor::new(instance, watchdog, spawned, config.adopts_orphans));
        Ok(Self(Arc::new(Shared {
            throttle: Throttle::new(config.starts_per_second_max),
            start_permits: Semaphore::new(CONCURRENT_STARTS_MAX),
            parked: Parked::default(),
            children: TaskTracker::new(),
            config,
            supervisor,
        })))
    }

    /// Waits until all children have ended, with all that they have started. Call it when
    /// the sessions are closed: who exits before kills those that are still to end.
    ///
    /// It takes no longer than [`StdioConfig::stop_timeout`] and the moment that the system
    /// needs to end a process, unless the system does not end one that was killed, or does not
    /// say which there are, which is logged. Cancel-safe.
    pub async fn ended(&self) {
        self.0.parked.close();
        self.0.children.close();
        self.0.children.wait().await;
        self.0.supervisor.kill_orphans().await;
    }
}

/// How many children are started at the same time, each by a thread of its own.
const CONCURRENT_STARTS_MAX: usize = 16;

impl Backend for StdioBackend {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.0);
        shared.supervisor.start_reaping();
        let mut served = (client, messages);
        if let Some(initialize) = served.1.take_first_message() {
            match shared.parked.hand_over(&initialize, served).await {
                Ok(()) => return Ok(()),
                Err(returned) => served = returned,
            }
        }
        let (client, messages) = served;
        let (starts, started) = oneshot::channel();
        // In a task of its own, so that a child is ended also where nobody waits for it.
        self.0.children.spawn(async move {
            let permit = messages.permit();
            match shared.start(&client, &messages).await {
                Ok(child) => {
                    client.set_process(child.process_id());
                    let _ = starts.send(Ok(()));
                    child.serve(client, messages, permit).await;
                }
                Err(error) => drop(starts.send(Err(error))),
            }
        });
        started.await?
    }
}

impl Shared {
    /// Starts a child when it is its turn. Where the session ends before that, none is started.
    async fn start(
        self: &Arc<Self>,
        client: &ClientSender,
        messages: &ClientMessages,
    ) -> Result<Child, OpenError> {
        let turn = async {
            self.throttle.acquire().await?;
            Ok::<_, OpenError>(self.start_permits.acquire().await?)
        };
        let _start_permit = tokio::select! {
            biased;
            () = messages.ended() => return Err("the session has ended".into()),
            permit = turn => permit?,
        };
        Child::start(Arc::clone(self), client.session_id()).await
    }
}

fn in_context(context: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{context}: {error}"))
}

impl fmt::Debug for StdioBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioBackend")
            .field("command", &self.0.config.command)
            .field("children", &self.0.children.len())
            .finish_non_exhaustive()
    }
}
