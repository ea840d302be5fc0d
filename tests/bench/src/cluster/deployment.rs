//! Nodes of the program, with a store or without.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Instant};

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

use crate::{
    gateway::{Gateway, Packages, free_port},
    load::{CPU_TIME, Endpoint, Session, Target},
    process::Process,
};

use super::ENGINE_CPU_TIME;

/// How many nodes, and whether they have a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nodes {
    One,
    OneWithStore,
    Three,
}

/// The path of the endpoint.
const PATH: &str = "/mcp";

/// Maximum number of sessions. More clients share them.
const SESSIONS_MAX: usize = 16;

/// Running nodes.
pub(super) struct Deployment {
    nodes: Vec<Gateway>,
    engine: Option<Process>,
}

/// A store, and its process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store<'a> {
    pub(super) url: &'a str,
    pub(super) process: Process,
}

impl Nodes {
    pub(super) const ALL: [Self; 3] = [Self::One, Self::OneWithStore, Self::Three];

    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::One => "one node, no store",
            Self::OneWithStore => "one node, store",
            Self::Three => "three nodes, store",
        }
    }
}

impl Deployment {
    /// Starts the nodes. Each deployment has keys of its own in the store.
    pub(super) fn start(
        which: Nodes,
        packages: &Packages,
        store: Store<'_>,
        is_json: bool,
    ) -> Result<Self> {
        let secret = packages.directory().join("cluster-secret");
        fs::create_dir_all(packages.directory())?;
        write_secret(&secret)?;
        let count = if which == Nodes::Three { 3 } else { 1 };
        let mut nodes = Vec::new();
        for _ in 0..count {
            let port = free_port()?;
            let mut command = packages.rejoin_demo(port)?;
            if is_json {
                command.arg("--json-responses");
            }
            if which != Nodes::One {
                let prefix = format!("{which:?}:{is_json}:");
                command.args(["--store", store.url, "--store-prefix", &prefix]);
            }
            if which == Nodes::Three {
                command.args(["--cluster-listen", &format!("127.0.0.1:{}", free_port()?)]);
                command.arg("--cluster-secret-file").arg(&secret);
                command.args(["--takeover", "reopen"]);
            }
            nodes.push(Gateway::start(command, port)?);
        }
        let engine = (which != Nodes::One).then_some(store.process);
        Ok(Self { nodes, engine })
    }

    /// Returns where calls go, and whose CPU time they take.
    pub(super) fn target(&self) -> Target {
        let nodes = self.nodes.iter().map(Gateway::process).collect();
        let mut costs = vec![(CPU_TIME, nodes)];
        costs.extend(self.engine.map(|engine| (ENGINE_CPU_TIME, vec![engine])));
        Target { endpoints: self.endpoints().collect(), costs }
    }

    /// Creates sessions on all nodes in turn, and returns one for each of `clients` clients.
    pub(super) fn sessions(&self, clients: usize, runtime: &Runtime) -> Result<Vec<Session>> {
        let count = clients.min(SESSIONS_MAX);
        let sharing = i64::try_from(clients / count)?;
        let mut sessions = Vec::new();
        for endpoint in self.endpoints().cycle().take(count) {
            let session = runtime.block_on(Session::create(endpoint, PATH));
            sessions.extend(session.context("no session")?.shared_by(sharing));
        }
        Ok(sessions)
    }

    /// Kills the first node, and returns when.
    pub(super) fn kill_first(&mut self) -> Instant {
        let killed_at = Instant::now();
        drop(self.nodes.remove(0));
        killed_at
    }

    fn endpoints(&self) -> impl Iterator<Item = Endpoint> + Clone {
        self.nodes.iter().map(|node| Endpoint::from(node.address))
    }
}

/// Writes a secret that only this user can read.
fn write_secret(path: &Path) -> Result<()> {
    fs::write(path, "of the benchmark, on the loopback address only")?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}
