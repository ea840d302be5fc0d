//! A server in one configuration: its sessions and their processes.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use rejoin::{
    Backend, ChildSupervisor, SessionManager, StdioBackend, StreamableHttp, journal::Journal,
    watchdog::WatchdogCommand,
};
use rustls::ClientConfig;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::Metrics,
    auth::{Auth, stdio_backend},
    config::{ProgramConfig, ServerName},
    demo::Demo,
    observers,
    telemetry::Telemetry,
};

/// How long a process may take to end after `stop_timeout`, when it was killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval between checks whether a server has no sessions left.
const EMPTY_INTERVAL: Duration = Duration::from_millis(200);

/// A server. When its configuration changes, another one takes its place.
pub(crate) struct Server {
    /// `None` for the command, or the demo server.
    pub(super) name: Option<ServerName>,
    pub(super) config: ProgramConfig,
    sessions: SessionManager,
    processes: Option<StdioBackend>,
    pub(super) service: StreamableHttp,
    /// The requests that it handles. Closed when it retires.
    pub(super) requests: TaskTracker,
    /// Whether it is or was the only one, so that clients know it by --path.
    pub(super) was_single: AtomicBool,
    /// Ends its retirement.
    pub(super) is_superseded: CancellationToken,
}

/// What all servers share.
pub(super) struct Common {
    pub(super) auth: Option<Auth>,
    supervisor: Option<ChildSupervisor>,
    journal: Option<Journal>,
    /// `None` without a listener for operators.
    pub(super) metrics: Option<Metrics>,
    /// `None` without a collector.
    pub(super) telemetry: Option<Telemetry>,
    /// `None` unless the store uses TLS.
    store_tls: Option<Arc<ClientConfig>>,
}

impl Common {
    /// Sets up authentication, reads the certificates for the store, and starts the watchdog, the
    /// writer of journals and telemetry, if they are needed.
    pub(super) fn start(config: &ProgramConfig) -> anyhow::Result<Self> {
        let has_processes = !config.command.is_empty() || config.servers.is_some();
        let supervisor = has_processes.then(|| {
            let program = env::current_exe()?;
            let watchdog = WatchdogCommand { program, args: vec!["watchdog".into()] };
            ChildSupervisor::start(Some(watchdog), true)
        });
        let journal = config.journal.as_ref().map(|dir| {
            Journal::create(dir, config.journal_bytes_max as u64)
                .with_context(|| format!("cannot write journals to {dir}"))
        });
        let metrics = config.admin.map(|_| Metrics::new());
        let auth = Auth::new(&config.auth, metrics.clone())?;
        Ok(Self {
            auth,
            supervisor: supervisor.transpose().context("cannot start the watchdog")?,
            journal: journal.transpose()?,
            metrics,
            telemetry: Telemetry::start(config)?,
            store_tls: config.store.tls()?,
        })
    }

    fn create_manager(
        &self,
        backend: impl Backend,
        name: Option<&ServerName>,
        config: &ProgramConfig,
    ) -> anyhow::Result<SessionManager> {
        let mut manager = SessionManager::builder(backend, config.sessions.clone());
        if let Some(name) = name {
            manager = manager.name(name.as_str());
        }
        let label = label_of(name);
        let metrics = self.metrics.iter().map(|metrics| metrics.observer(label));
        let telemetry = self.telemetry.as_ref().map(|telemetry| telemetry.observer(label));
        if let Some(observer) = observers::combine(metrics.chain(telemetry).collect()) {
            manager = manager.observer(observer);
        }
        if let Some(journal) = &self.journal {
            manager = manager.journal(journal.clone());
        }
        let link = config.store.link(config.http.body_bytes_max)?;
        if let Some((store, config)) = config.store.open(name, self.store_tls.clone())? {
            manager = match link {
                Some(link) => manager.cluster(store, config, link),
                None => manager.store(store, config),
            };
        }
        let sessions = manager.build()?;
        sessions.connect_store();
        Ok(sessions)
    }
}

impl Server {
    /// Creates a server without sessions.
    ///
    /// # Errors
    ///
    /// Its command does not exist.
    pub(super) fn create(
        name: Option<ServerName>,
        config: ProgramConfig,
        common: &Common,
    ) -> anyhow::Result<Arc<Self>> {
        let stdio = common.supervisor.clone().and_then(|supervisor| config.stdio(supervisor));
        let (headers, auth) = (&config.header_env, &config.auth);
        let processes = stdio.map(|stdio| stdio_backend(stdio, headers, auth)).transpose()?;
        let sessions = match &processes {
            Some(processes) => common.create_manager(processes.clone(), name.as_ref(), &config)?,
            None => common.create_manager(Demo, name.as_ref(), &config)?,
        };
        let auth = common.auth.as_ref();
        let service = Auth::service(auth, sessions.clone(), config.http())?;
        Ok(Arc::new(Self {
            name,
            config,
            sessions,
            processes,
            service,
            requests: TaskTracker::new(),
            was_single: AtomicBool::new(false),
            is_superseded: CancellationToken::new(),
        }))
    }

    pub(crate) fn name(&self) -> Option<&ServerName> {
        self.name.as_ref()
    }

    /// Returns its name in metrics and lists, where one without a name is `default`.
    pub(crate) fn label(&self) -> &str {
        label_of(self.name.as_ref())
    }

    pub(crate) fn sessions(&self) -> &SessionManager {
        &self.sessions
    }

    /// Makes --path lead to it, and to its sessions even when it is not the only one anymore.
    pub(super) fn set_single(&self) {
        self.was_single.store(true, Ordering::Relaxed);
    }

    /// Waits until it has no sessions. One may be opened by a request that had reached it before it
    /// was replaced.
    pub(super) async fn emptied(&self) {
        self.requests.close();
        self.requests.wait().await;
        while self.sessions.sessions() > 0 {
            tokio::time::sleep(EMPTY_INTERVAL).await;
        }
    }

    /// Waits for the processes of closed sessions.
    pub(super) async fn processes_ended(&self) {
        let Some(processes) = &self.processes else { return };
        let timeout = self.config.stop_timeout + KILL_TIMEOUT;
        if tokio::time::timeout(timeout, processes.ended()).await.is_err() {
            tracing::warn!("some server processes did not exit in time; killing them");
        }
    }
}

fn label_of(name: Option<&ServerName>) -> &str {
    name.map_or("default", ServerName::as_str)
}
