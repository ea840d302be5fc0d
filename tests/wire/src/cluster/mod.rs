//! Soak test of several nodes with one store: nodes and the store fail, while clients call and resume.
//!
//! Each client has one session at a time, and sends each of its requests to the next node. The
//! [`judge`](judge::Judge) knows what the servers of the sessions have stamped and recorded: each call
//! must deliver its messages once and in order, and end in one response or in an error that a client can
//! see; a session is only lost if the store and its owner lose their memory together. A round has a phase
//! with faults and a calm one, at the end of which nothing may be left.

mod call;
mod client;
mod deliberate_bug;
mod faults;
mod judge;
mod life;
mod nodes;
mod report;
mod server;
mod session;
mod stamp;
mod standalone;
mod store;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rejoin_tests::kit::Rng;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use self::client::Cluster;
use self::deliberate_bug::BugInjector;
use self::faults::Fault;
use self::judge::Judge;
use self::nodes::Nodes;
use self::report::{SURVIVOR, Sample, check_growth};
use self::store::StoreServer;

pub use self::deliberate_bug::ClusterBug;
pub use self::judge::Violation;
pub use self::report::ClusterReport;
pub use self::server::run_cluster_server;

/// What becomes of sessions whose owner is gone (`--takeover`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// They end.
    End,
    /// They get a new server.
    Reopen,
}

/// What a soak does.
#[derive(Clone, Debug)]
pub struct ClusterSoak {
    /// The program under test.
    pub rejoin: PathBuf,
    /// The command that calls [`run_cluster_server`]; the file to record in is appended to it.
    pub server: Vec<String>,
    /// The server of the store.
    pub store: PathBuf,
    /// What becomes of sessions whose owner is gone.
    pub takeover: Takeover,
    /// The seed of faults and clients.
    pub seed: u64,
    /// Number of clients.
    pub clients: u64,
    /// Number of rounds.
    pub rounds: u64,
    /// Duration of the phase with faults of each round.
    pub fault_phase: Duration,
    /// A deliberate fault, to test the judge.
    pub bug: Option<ClusterBug>,
    /// The directory in which the logs of the nodes are kept.
    pub logs: Option<PathBuf>,
}

/// Number of nodes.
const NODES: usize = 3;
/// Time between two faults of nodes.
const NODE_FAULT_INTERVAL: Duration = Duration::from_secs(20);
/// Time for a node to exit: its drain timeout, and what its clients need then.
const TERMINATE_MAX: Duration = Duration::from_secs(15);
/// Time after which nothing may be left of the sessions of a round. Those whose id no client has got, and
/// whose owner is gone, are in the store for their time there.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);
/// Time for clients to finish after the faults.
const FINISH_TIMEOUT: Duration = Duration::from_secs(240);

/// Runs a soak. `report` is called after each round, and for each violation.
///
/// # Errors
///
/// The soak cannot continue.
pub async fn soak_cluster(
    soak: &ClusterSoak,
    report: &mut dyn FnMut(&dyn fmt::Display),
) -> Result<ClusterReport> {
    let directory = TempDir::new()?;
    let mut store = StoreServer::start(&soak.store).await;
    let record = directory.path().join("record");
    let server = soak.server.iter().cloned().chain([record.display().to_string()]).collect();
    let takeover = match soak.takeover {
        Takeover::End => "end",
        Takeover::Reopen => "reopen",
    };
    let (rejoin, logs) = (soak.rejoin.clone(), soak.logs.clone());
    let nodes = Nodes::start(rejoin, NODES, &store.url(), takeover, server, logs).await?;
    let judge = Arc::new(Judge::new());
    let cluster = Arc::new(Cluster {
        nodes,
        judge: Arc::clone(&judge),
        takeover: soak.takeover,
        injector: BugInjector::new(soak.bug),
        is_calm: watch::Sender::new(false),
    });
    let watched = Arc::clone(&judge);
    let watch = tokio::spawn(async move { watched.watch_machine().await });
    let mut samples = Vec::new();
    for round in 0..soak.rounds {
        run_round(soak, &cluster, &mut store, round).await?;
        judge.check_executed(&record)?;
        samples.push(measure(&cluster, &store).await?);
        judge.take_messages().iter().for_each(|message| report(message));
        report(&ClusterReport::new(&judge, &samples).summary());
    }
    watch.abort();
    check_growth(&judge, &samples);
    // A client may still read a connection that was replaced.
    cluster.nodes.stop().await?;
    judge.take_messages().iter().for_each(|message| report(message));
    Ok(ClusterReport::new(&judge, &samples))
}

/// Runs the clients of a round until they have finished, with faults at first.
async fn run_round(
    soak: &ClusterSoak,
    cluster: &Arc<Cluster>,
    store: &mut StoreServer,
    round: u64,
) -> Result<()> {
    cluster.is_calm.send_replace(false);
    let mut clients = JoinSet::new();
    for number in 0..soak.clients {
        clients.spawn(life::run_client(Arc::clone(cluster), number, round, soak.seed));
    }
    let end = Instant::now() + soak.fault_phase;
    let (disturbed, ()) = tokio::join!(
        disturb_nodes(cluster, Rng::new(soak.seed, round, 1 << 32), round, end),
        store.disturb(&cluster.judge, Rng::new(soak.seed, round, 1 << 33), round, end),
    );
    disturbed?;
    sleep_until(end).await;
    cluster.is_calm.send_replace(true);
    let finished = tokio::time::timeout(FINISH_TIMEOUT, async {
        while let Some(ended) = clients.join_next().await {
            if let Err(error) = ended {
                cluster.judge.report(Violation::Unsettled, &format!("a client has ended: {error}"));
            }
        }
    });
    if finished.await.is_err() {
        let left = clients.len();
        cluster.judge.report(Violation::Unsettled, &format!("{left} clients never finish"));
        clients.shutdown().await;
    }
    Ok(())
}

/// Kills, terminates and pauses nodes in turn.
async fn disturb_nodes(cluster: &Cluster, mut rng: Rng, round: u64, end: Instant) -> Result<()> {
    let judge = &cluster.judge;
    let mut next = Instant::now() + rng.millis(2_000, 6_000);
    for nth in round.. {
        if next >= end {
            break;
        }
        sleep_until(next).await;
        next += NODE_FAULT_INTERVAL;
        let others = cluster.nodes.number() - 1;
        let victim = (SURVIVOR + rng.size(1, others)) % cluster.nodes.number();
        match nth % 3 {
            0 => {
                let fault = judge.begin_fault(Fault::Kill);
                cluster.nodes.kill(victim).await?;
                sleep(rng.millis(0, 5_000)).await;
                cluster.nodes.start_node(victim).await?;
                judge.faults.end(fault);
            }
            1 => {
                let fault = judge.begin_fault(Fault::Terminate);
                let took = cluster.nodes.terminate(victim).await?;
                if took > TERMINATE_MAX {
                    let what = format!("a node took {took:?} to exit");
                    judge.report(Violation::Unexpected, &what);
                }
                cluster.nodes.start_node(victim).await?;
                judge.faults.end(fault);
            }
            _ => {
                let fault = judge.begin_fault(Fault::Pause);
                let any = rng.size(0, others);
                cluster.nodes.pause(any, rng.millis(3_000, 10_000)).await?;
                judge.faults.end(fault);
            }
        }
    }
    Ok(())
}

/// Waits until nothing is left of the sessions of a round, and measures.
async fn measure(cluster: &Cluster, store: &StoreServer) -> Result<Sample> {
    let deadline = Instant::now() + IDLE_TIMEOUT;
    loop {
        let nodes = cluster.nodes.uses().await?;
        let store = store.uses().await?;
        // The watchdog is one.
        let is_idle = nodes.iter().all(|node| node.children <= 1);
        if is_idle && store.sessions == 0 {
            return Ok(Sample { nodes, store });
        }
        if Instant::now() > deadline {
            let what = format!("idle nodes: {nodes:?}, {store:?}");
            cluster.judge.report(Violation::Leak, &what);
            return Ok(Sample { nodes, store });
        }
        sleep(Duration::from_millis(500)).await;
    }
}
