//! The nodes, each a process, behind a balancer that sends each request to the next one.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rejoin_test_support::Balancer;
use rejoin_test_support::free_port;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::program::Program;

/// The nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    all: Vec<Node>,
    balancer: Balancer,
    launch: Launch,
}

/// A node, which is started again at the same address.
#[derive(Debug)]
struct Node {
    address: String,
    /// `None` while it is down.
    program: Mutex<Option<Program>>,
}

/// How nodes are started.
#[derive(Debug)]
struct Launch {
    program: PathBuf,
    options: Vec<String>,
    server: Vec<String>,
    /// Where the logs are kept.
    logs: Option<PathBuf>,
    _secret: TempDir,
}

/// What a node uses while it is idle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) memory_bytes: u64,
    pub(super) descriptors: usize,
    pub(super) children: usize,
}

/// Time for a node that was told to terminate.
const EXIT_TIMEOUT: Duration = Duration::from_secs(40);

impl Nodes {
    /// Starts nodes that share the store at `url`.
    pub(super) async fn start(
        program: PathBuf,
        number: usize,
        url: &str,
        takeover: &str,
        server: Vec<String>,
        logs: Option<PathBuf>,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n")?;
        let secret = secret.display();
        let options = [
            format!("--store={url}"),
            format!("--takeover={takeover}"),
            format!("--cluster-secret-file={secret}"),
            "--cluster-listen=0".to_owned(),
            "--route-unrelated=standalone".to_owned(),
            "--sse-keep-alive=1s".to_owned(),
            // What clients leave behind goes within a round.
            "--idle-timeout=15s".to_owned(),
            "--unused-timeout=15s".to_owned(),
            "--orphan-timeout=15s".to_owned(),
            "--store-ttl=1m".to_owned(),
            "--drain-timeout=5s".to_owned(),
        ];
        let launch =
            Launch { program, options: options.to_vec(), server, logs, _secret: directory };
        let addresses: Vec<_> = (0..number).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let balancer = Balancer::start(addresses.clone()).await;
        let node = |address| Node { address, program: Mutex::new(None) };
        let nodes = Self { all: addresses.into_iter().map(node).collect(), balancer, launch };
        for at in 0..number {
            nodes.start_node(at).await?;
        }
        Ok(nodes)
    }

    /// Returns the address of the balancer.
    pub(super) fn address(&self) -> &str {
        &self.balancer.address
    }

    async fn node(&self, at: usize) -> Result<tokio::sync::MutexGuard<'_, Option<Program>>> {
        Ok(self.all.get(at).context("there is no such node")?.program.lock().await)
    }

    /// Starts a node that is down.
    pub(super) async fn start_node(&self, at: usize) -> Result<()> {
        let address = &self.all.get(at).context("there is no such node")?.address;
        let listen = format!("--listen={address}");
        let options: Vec<_> = self.launch.options.iter().cloned().chain([listen]).collect();
        let (path, server) = (self.launch.program.clone(), self.launch.server.clone());
        let log = self.launch.logs.as_ref().map(|logs| logs.join(format!("node-{at}.log")));
        let started = spawn_blocking(move || {
            let open = |path| OpenOptions::new().create(true).append(true).open(path);
            Program::start_with_copy(&path, &options, &server, log.map(open).transpose()?)
        });
        let started = started.await??;
        *self.node(at).await? = Some(started);
        Ok(())
    }

    /// Kills a node.
    pub(super) async fn kill(&self, at: usize) -> Result<()> {
        let program = self.node(at).await?.take().context("the node is down")?;
        let reported = program.reported_error();
        drop(program);
        ensure!(reported.is_none(), "node {at}: {}", reported.unwrap_or_default());
        Ok(())
    }

    /// Terminates a node. Returns how long it took to exit.
    pub(super) async fn terminate(&self, at: usize) -> Result<Duration> {
        let mut program = self.node(at).await?.take().context("the node is down")?;
        let began = Instant::now();
        program.signal("TERM");
        let status = program.exited(EXIT_TIMEOUT).await;
        let status = status.with_context(|| format!("node {at} does not exit in time"))?;
        let reported = program.reported_error();
        ensure!(reported.is_none(), "node {at}: {}", reported.unwrap_or_default());
        ensure!(status.success(), "node {at} exited with {status}");
        Ok(began.elapsed())
    }

    /// Stops a node (SIGSTOP) for some time.
    pub(super) async fn pause(&self, at: usize, time: Duration) -> Result<()> {
        let program = self.node(at).await?;
        let program = program.as_ref().context("the node is down")?;
        program.signal("STOP");
        sleep(time).await;
        program.signal("CONT");
        Ok(())
    }

    /// Returns what each node uses.
    pub(super) async fn uses(&self) -> Result<Vec<Use>> {
        let mut uses = Vec::new();
        for at in 0..self.all.len() {
            let program = self.node(at).await?;
            let program = program.as_ref().context("a node is down")?;
            if let Some(reported) = program.reported_error() {
                anyhow::bail!("node {at}: {reported}");
            }
            uses.push(Use {
                memory_bytes: program.memory_bytes()?,
                descriptors: program.descriptors()?,
                children: program.children()?.len(),
            });
        }
        Ok(uses)
    }

    pub(super) fn number(&self) -> usize {
        self.all.len()
    }

    /// Terminates all nodes.
    pub(super) async fn stop(&self) -> Result<()> {
        for at in 0..self.all.len() {
            self.terminate(at).await?;
        }
        Ok(())
    }
}
