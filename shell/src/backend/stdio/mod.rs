//! A child process for each session, which speaks MCP on its stdin and stdout.

mod child;
mod convention;
mod group;
mod guard;
mod guard_process;
mod lines;
mod printable;
mod pumps;
mod settings;

use std::{fmt, io, sync::Arc};

use tokio_util::task::TaskTracker;

use self::guard::Guard;
pub use self::{guard::GuardCommand, guard_process::run_guard, settings::StdioSettings};
use super::{Backend, Inbox, OpenError, Peer};

#[cfg(not(unix))]
compile_error!("the feature `stdio` needs Unix: it ends children by their process groups");

#[doc = include_str!("../../../docs/stdio.md")]
#[derive(Clone)]
pub struct StdioBackend(Arc<Shared>);

struct Shared {
    settings: StdioSettings,
    guard: Option<Arc<Guard>>,
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
        let guard = settings.guard.clone().map(Guard::start).transpose()?.map(Arc::new);
        Ok(Self(Arc::new(Shared { settings, guard, children: TaskTracker::new() })))
    }

    /// Waits until all children have ended, with all that they have started. Call it when
    /// the sessions are closed: who exits before kills those that are still to end.
    ///
    /// It takes no longer than [`StdioSettings::kill_grace`] and the moment that the system
    /// needs to end a process. Cancel-safe.
    pub async fn ended(&self) {
        self.0.children.close();
        self.0.children.wait().await;
    }
}

impl Backend for StdioBackend {
    async fn open(&self, peer: Peer, inbox: Inbox) -> Result<(), OpenError> {
        let Shared { settings, children, .. } = &*self.0;
        let started = child::start(&self.0, peer.session_id());
        let (child, stdin) = started.map_err(|error| settings.start_error(error))?;
        children.spawn(child.serve(stdin, peer, inbox));
        Ok(())
    }
}

impl fmt::Debug for StdioBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioBackend")
            .field("command", &self.0.settings.command)
            .field("children", &self.0.children.len())
            .finish_non_exhaustive()
    }
}
