//! Backend that runs one child process per session, which speaks MCP on stdin and stdout.

mod child;
mod command;
mod config;
mod env;
mod output;
mod parked;
mod process;
mod stdin;
mod throttle;

use std::{fmt, io, sync::Arc};

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use self::{
    child::Child,
    parked::{ChildStart, Parked},
    process::Supervisor,
    throttle::Throttle,
};
pub use self::{
    config::StdioConfig,
    env::{SessionEnv, SessionSetup},
    process::{ChildSupervisor, watchdog},
};
use super::{Backend, ClientMessages, ClientSender, OpenError};
use crate::ClientMessage;

#[cfg(not(unix))]
compile_error!("the feature `stdio` requires Unix: it stops children by their process groups");

#[doc = include_str!("../../../docs/stdio.md")]
#[derive(Clone)]
pub struct StdioBackend(Arc<Shared>);

/// Returns the setup for an `initialize` message, if that is known.
type SetupFn = dyn Fn(Option<&ClientMessage>) -> Result<SessionSetup, OpenError> + Send + Sync;

struct Shared {
    config: StdioConfig,
    setup: Box<SetupFn>,
    supervisor: Arc<Supervisor>,
    throttle: Throttle,
    /// One permit for each child that is being started: at most [`CONCURRENT_STARTS_MAX`].
    start_permits: Semaphore,
    parked: Parked,
    /// One task per child.
    children: TaskTracker,
}

impl StdioBackend {
    /// Creates a backend that starts a child for each session. Starts the watchdog, if one is
    /// configured.
    ///
    /// # Errors
    ///
    /// The command does not exist or cannot be executed, or the watchdog cannot be started.
    pub fn new(config: StdioConfig) -> io::Result<Self> {
        #[cfg(feature = "http")]
        return Self::with_request_setup(config, |_| Ok(SessionSetup::default()));
        #[cfg(not(feature = "http"))]
        Self::with_setup(config, |_| Ok(SessionSetup::default()))
    }

    /// Creates a backend like [`new`](Self::new), whose children get environment variables from
    /// the HTTP request that opens their session: a credential of the client, for example.
    ///
    /// `env` is called with the request of `initialize`, or with `None` for a session that was not
    /// opened by an HTTP request. Check what it takes from there: the client chooses headers freely.
    /// If it returns an error or an invalid name, the session is not opened, and the client gets the
    /// error with status 502. Variables in a fixed order let a child that was started for a client
    /// that left serve the next session of that client.
    ///
    /// # Errors
    ///
    /// Same as [`new`](Self::new).
    #[cfg(feature = "http")]
    pub fn with_request_env(
        config: StdioConfig,
        env: impl Fn(Option<&http::request::Parts>) -> Result<SessionEnv, OpenError>
        + Send
        + Sync
        + 'static,
    ) -> io::Result<Self> {
        Self::with_request_setup(config, move |request| {
            Ok(SessionSetup { env: env(request)?, ..SessionSetup::default() })
        })
    }

    /// Creates a backend like [`with_request_env`](Self::with_request_env), whose children get
    /// arguments from that request, too.
    ///
    /// # Errors
    ///
    /// Same as [`new`](Self::new).
    #[cfg(feature = "http")]
    pub fn with_request_setup(
        config: StdioConfig,
        setup: impl Fn(Option<&http::request::Parts>) -> Result<SessionSetup, OpenError>
        + Send
        + Sync
        + 'static,
    ) -> io::Result<Self> {
        Self::with_setup(config, move |initialize| {
            let request = initialize.and_then(ClientMessage::parts);
            let principal = request.and_then(|request| request.extensions.get()).cloned();
            Ok(SessionSetup { principal, ..setup(request)? })
        })
    }

    fn with_setup(
        config: StdioConfig,
        setup: impl Fn(Option<&ClientMessage>) -> Result<SessionSetup, OpenError>
        + Send
        + Sync
        + 'static,
    ) -> io::Result<Self> {
        config.check().map_err(io::Error::other)?;
        let supervisor = match &config.supervisor {
            Some(shared) => shared.clone(),
            None => ChildSupervisor::start(config.watchdog.clone(), config.adopts_orphans)
                .map_err(|error| in_context("cannot start the watchdog", &error))?,
        };
        Ok(Self(Arc::new(Shared {
            throttle: Throttle::new(config.starts_per_second_max),
            start_permits: Semaphore::new(CONCURRENT_STARTS_MAX),
            parked: Parked::default(),
            children: TaskTracker::new(),
            config,
            setup: Box::new(setup),
            supervisor: supervisor.inner(),
        })))
    }

    /// Waits until all children have ended, with all processes that they have started. Call
    /// this after closing the sessions: a program that exits earlier kills its children instead.
    ///
    /// Orphans that its children have left behind are only killed if no other backend with the same
    /// [`ChildSupervisor`] has children: they may belong to those.
    ///
    /// This takes about as long as [`StdioConfig::stop_timeout`]. It takes longer, and an error
    /// is logged, if a process survives SIGKILL or processes cannot be listed. Cancel-safe.
    pub async fn ended(&self) {
        self.0.parked.close();
        self.0.children.close();
        self.0.children.wait().await;
        self.0.supervisor.kill_orphans().await;
    }
}

/// Maximum number of children that are being started at the same time, each on its own thread.
const CONCURRENT_STARTS_MAX: usize = 16;

impl Backend for StdioBackend {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.0);
        shared.supervisor.start_reaping();
        let mut endpoints = (client, messages);
        let initialize = endpoints.1.take_first_message();
        let mut setup = (shared.setup)(initialize.as_ref())?;
        env::check(&setup.env)?;
        if let Some(initialize) = initialize {
            let start = ChildStart { initialize: initialize.into_bytes(), setup };
            match shared.parked.hand_over(&start, endpoints).await {
                Ok(()) => return Ok(()),
                Err(returned) => endpoints = returned,
            }
            setup = start.setup;
        }
        let (client, messages) = endpoints;
        let active = shared.supervisor.add_active();
        let (result_sender, result) = oneshot::channel();
        // In its own task, so that the child is stopped even if this future is dropped.
        self.0.children.spawn(async move {
            match shared.start(&client, &messages, setup).await {
                Ok(child) => {
                    client.set_process(child.process_id());
                    let _ = result_sender.send(Ok(()));
                    child.serve(client, messages).await;
                }
                Err(error) => drop(result_sender.send(Err(error))),
            }
            drop(active);
        });
        result.await?
    }
}

impl Shared {
    /// Starts a child, once the rate and concurrency limits allow it and unless the session ends
    /// before that.
    async fn start(
        self: &Arc<Self>,
        client: &ClientSender,
        messages: &ClientMessages,
        setup: SessionSetup,
    ) -> Result<Child, OpenError> {
        let start_permit = async {
            self.throttle.acquire().await?;
            Ok::<_, OpenError>(self.start_permits.acquire().await?)
        };
        let _start_permit = tokio::select! {
            biased;
            () = messages.ended() => return Err("the session has ended".into()),
            permit = start_permit => permit?,
        };
        let (session, permit) = (client.session_id(), messages.permit());
        Child::start(Arc::clone(self), session, setup, permit, client.observers()).await
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
