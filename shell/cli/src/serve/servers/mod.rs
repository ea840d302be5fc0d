//! The servers of the program: one, or those of a file, each with its sessions.

mod reload;
mod retire;
mod server;
mod table;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use parking_lot::Mutex;
use rejoin::StreamableHttp;
use tokio::task::JoinSet;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

pub(crate) use self::server::Server;
use self::{server::Common, table::Table};
use crate::{
    admin::Metrics,
    auth::{Auth, described_path},
    config::{NamedServer, ProgramConfig},
    telemetry::Telemetry,
};

/// All servers. A clone is the same.
#[derive(Clone)]
pub(crate) struct Servers(Arc<Inner>);

struct Inner {
    config: ProgramConfig,
    common: Common,
    table: ArcSwap<Table>,
    /// Locked while the table is replaced.
    replacing: Mutex<()>,
    /// One task for each server that retires.
    retirements: TaskTracker,
    /// Cancelled when the program shuts down.
    shutdown: CancellationToken,
}

impl Servers {
    /// Creates the servers that are configured.
    ///
    /// # Errors
    ///
    /// The file is invalid, a command does not exist, journals cannot be written, or the watchdog
    /// cannot be started.
    pub(super) fn create(
        config: ProgramConfig,
        named: Option<Vec<NamedServer>>,
    ) -> anyhow::Result<Self> {
        let common = Common::start(&config)?;
        let table = match named {
            None => Table::of_single(Server::create(None, config.clone(), &common)?),
            Some(servers) => {
                let mut named = BTreeMap::new();
                for server in servers {
                    let name = server.name.clone();
                    named.insert(name, reload::create(server, &config, &common)?);
                }
                let mut table = Table::default();
                table.set_named(named);
                table
            }
        };
        Ok(Self(Arc::new(Inner {
            config,
            common,
            table: ArcSwap::from_pointee(table),
            replacing: Mutex::new(()),
            retirements: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        })))
    }

    /// Returns every server that can have sessions, with those that retire.
    pub(crate) fn all(&self) -> Vec<Arc<Server>> {
        self.0.table.load().all()
    }

    /// Returns the metrics, if there is a listener for operators.
    pub(super) fn metrics(&self) -> Option<Metrics> {
        self.0.common.metrics.clone()
    }

    /// Returns the telemetry, if there is a collector.
    pub(super) fn telemetry(&self) -> Option<&Telemetry> {
        self.0.common.telemetry.as_ref()
    }

    /// Returns the service that a request reaches. The token must be kept until the request has its
    /// response: a server that is replaced meanwhile does not retire before.
    pub(super) fn find(
        &self,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<(StreamableHttp, TaskTrackerToken)> {
        let find = || {
            let server = self.0.table.load().find(&self.0.config.path, path, headers)?;
            Some((server.requests.token(), server))
        };
        let mut found = find()?;
        if found.1.requests.is_closed() {
            // Replaced, so the table has another one now, unless the session belongs to this one.
            found = find()?;
        }
        let (token, server) = found;
        Some((server.service.clone(), token))
    }

    /// Returns the authentication of requests, if they are authenticated.
    pub(super) fn auth(&self) -> Option<&Auth> {
        self.0.common.auth.as_ref()
    }

    /// Returns whether a path is the one that says `ok`.
    pub(super) fn is_health_path(&self, path: &str) -> bool {
        self.0.config.health_path.as_deref() == Some(path)
    }

    /// Returns the metadata of the server that a path describes, if requests are authenticated by
    /// tokens. Without a server, the path describes the one at --path.
    pub(super) fn metadata(&self, path: &str, method: &Method) -> Option<Response<Bytes>> {
        let described = described_path(path)?;
        let described = if described.is_empty() { &self.0.config.path } else { described };
        let _is_served = self.find(described, &HeaderMap::new())?;
        self.auth()?.metadata(described, method)
    }

    /// Returns why no server was found. It names no server.
    pub(super) fn not_found(&self) -> String {
        match self.0.config.servers {
            None => format!("The MCP endpoint is {}", self.0.config.path),
            Some(_) => {
                "There is no such server. The MCP endpoints are /servers/NAME/mcp".to_owned()
            }
        }
    }

    /// Returns the path of each server, by name.
    pub(super) fn paths(&self) -> Vec<String> {
        let table = self.0.table.load();
        if table.named.is_empty() {
            return vec![self.0.config.path.clone()];
        }
        table.named.keys().map(table::path_of).collect()
    }

    /// Returns whether the sessions of every server can be served.
    pub(crate) fn are_available(&self) -> bool {
        self.all().iter().all(|server| server.sessions().is_available())
    }

    /// Waits until no session is left.
    pub(super) async fn closed(&self) {
        for server in self.all() {
            server.sessions().closed().await;
        }
    }

    /// Returns the number of sessions.
    pub(super) fn sessions(&self) -> usize {
        self.all().iter().map(|server| server.sessions().sessions()).sum()
    }

    /// Stops retirements, for a shutdown that drains all servers in the same way. Reloads are
    /// ignored from now on.
    pub(super) fn begin_shutdown(&self) {
        // No server begins to retire after that.
        let _replacing = self.0.replacing.lock();
        self.0.shutdown.cancel();
        self.0.retirements.close();
    }

    /// Closes every session as soon as it has no pending requests, and waits until all are closed, and
    /// until the requests have ended that are passed on.
    pub(super) async fn drain(&self) {
        let mut drains = JoinSet::new();
        for server in self.all() {
            drains.spawn(async move {
                server.sessions().drain(server.config.http.reconnect_delay).await;
            });
        }
        drains.join_all().await;
    }

    /// Closes all sessions.
    pub(super) fn close_all(&self) {
        for server in self.all() {
            server.sessions().close_all();
        }
    }

    /// Waits for the processes of closed sessions.
    pub(super) async fn processes_ended(&self) {
        let mut servers = JoinSet::new();
        for server in self.all() {
            servers.spawn(async move { server.processes_ended().await });
        }
        servers.join_all().await;
        self.0.retirements.wait().await;
    }

    /// Changes the table. Returns the result, or `None` if the program shuts down.
    fn replace<T>(&self, change: impl FnOnce(&mut Table) -> T) -> Option<T> {
        let _replacing = self.0.replacing.lock();
        if self.0.shutdown.is_cancelled() {
            return None;
        }
        let mut table = Table::clone(&self.0.table.load());
        let result = change(&mut table);
        self.0.table.store(Arc::new(table));
        Some(result)
    }
}
