//! A child process for each session, which speaks MCP on its stdin and stdout.

mod child;
mod convention;
mod guard;
mod guard_process;
mod known;
mod lines;
mod mend;
mod outline;
mod printable;
mod process;
mod pumps;
mod read;
mod settings;
mod stdin;
mod system;
mod table;

use std::{fmt, io, sync::Arc};

use tokio::{sync::oneshot, task::spawn_blocking};
use tokio_util::task::TaskTracker;

use self::{child::Child, guard::Guard, known::Known, system::System};
pub use self::{guard::GuardCommand, guard_process::run_guard, settings::StdioSettings};
use super::{Backend, Inbox, OpenError, Peer};

#[cfg(not(unix))]
compile_error!("the feature `stdio` needs Unix: it ends children by their process groups");

#[doc = include_str!("../../../docs/stdio.md")]
#[derive(Clone)]
pub struct StdioBackend(Arc<Shared>);

struct Shared {
    settings: StdioSettings,
    system: Arc<System>,
    /// One task for each child.
    children: TaskTracker,
}

impl StdioBackend {
    /// Makes a backend that starts a child for each session, and starts the guard, if
    /// there is to be one.
    ///
    /// # Errors
    ///
    /// The guard cannot be started.
    pub fn new(settings: StdioSettings) -> io::Result<Self> {
        let (instance, known) = (rand::random(), Known::default());
        let guard = settings.guard.clone();
        let guard = guard.map(|guard| Guard::start(guard, instance, &known)).transpose()?;
        let system = Arc::new(System::new(instance, guard, known, settings.adopts_orphans));
        Ok(Self(Arc::new(Shared { settings, system, children: TaskTracker::new() })))
    }

    /// Waits until all children have ended, with all that they have started. Call it when
    /// the sessions are closed: who exits before kills those that are still to end.
    ///
    /// It takes no longer than [`StdioSettings::kill_grace`] and the moment that the system
    /// needs to end a process. Cancel-safe.
    pub async fn ended(&self) {
        self.0.children.close();
        self.0.children.wait().await;
        self.0.system.kill_orphans().await;
    }
}

impl Backend for StdioBackend {
    async fn open(&self, peer: Peer, inbox: Inbox) -> Result<(), OpenError> {
        self.0.system.reap_orphans();
        let (starts, started) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        // In a task of its own, so that a child is ended also where nobody waits for it.
        self.0.children.spawn(async move {
            match start(shared, &peer).await {
                Ok(child) => {
                    peer.served_by(child.process_id());
                    let _ = starts.send(Ok(()));
                    child.serve(peer, inbox).await;
                }
                Err(error) => drop(starts.send(Err(error))),
            }
        });
        started.await?
    }
}

/// Starts a child, without blocking the threads of the runtime.
async fn start(shared: Arc<Shared>, peer: &Peer) -> Result<Child, OpenError> {
    let session = peer.session_id();
    let start =
        move || Child::start(&shared, session).map_err(|error| shared.settings.start_error(error));
    Ok(spawn_blocking(start).await??)
}

impl fmt::Debug for StdioBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioBackend")
            .field("command", &self.0.settings.command)
            .field("children", &self.0.children.len())
            .finish_non_exhaustive()
    }
}
