//! The cost of several nodes: the demo server of `rejoin serve` on one node and on three, with a store
//! and without.
//!
//! The calls of the load generator go to all nodes in turn, as behind a balancer that knows nothing of
//! sessions, whose own cost is therefore not in the figures.

mod commit;
mod deployment;
mod takeover;

use std::{cell::RefCell, rc::Rc};

use anyhow::{Context as _, Result};
use rejoin_test_support::engine::{self, Engine};
use tokio::runtime::Runtime;

use self::deployment::{Deployment, Nodes, Store};
use crate::{
    gateway::Packages,
    load::{CPU_TIME, MEDIAN, Random, Session, Target, measure_target},
    measure::{Flavor, Metric, Readings, Series, Trial, interleave, plural},
    options::Sizing,
    process::Process,
    report::Report,
    server::{Kind, Server},
};

/// Numbers of clients, with one request at a time each.
const CLIENTS: [usize; 3] = [1, 16, 64];

const ENGINE_CPU_TIME: Metric = Metric::cost("CPU time of the store", "s per 10,000");

const COMMIT: &str = "bare commit";

/// What three nodes should cost at most.
const COST_MAX: &str = "1.5 × one node + commit";

/// What a call should take at most on three nodes, if there are no others at a time.
const LATENCY_MAX: &str = "one node + commit + hop";

/// A round trip to another process.
const HOP: Kind = Kind::HyperOnePart;

/// Runs the section.
pub(crate) fn run(sizing: &Sizing, seed: u64, report: &mut Report) -> Result<()> {
    let text = Random::new(seed).word(24);
    let runtime = Rc::new(Flavor::CurrentThread.runtime()?);
    let packages = Packages::in_build_directory()?;
    let directory = packages.directory().join("engine");
    let programs = engine::programs(&directory.display().to_string());
    let program = programs.first().context("no server of stores")?;
    let engine = runtime.block_on(Engine::start(program));
    let (url, process) = (engine.url(), Process::new(engine.id()));
    let store = Store { url: &url, process };
    let hop = Server::start(HOP, &text)?;
    for (name, is_json) in [("echo", false), ("echo in JSON", true)] {
        let start = |nodes| {
            let deployment = Deployment::start(nodes, &packages, store, is_json)?;
            anyhow::Ok((nodes, deployment))
        };
        let deployments = Nodes::ALL.into_iter().map(start).collect::<Result<Vec<_>>>()?;
        for clients in CLIENTS {
            let workload = format!("cluster {name}, {}", plural(clients, "connection"));
            let commit = commit_round(store, clients, &runtime, sizing);
            let mut trials = vec![trial(&workload, COMMIT, commit)];
            for (nodes, deployment) in &deployments {
                let sessions = deployment.sessions(clients, &runtime).context(nodes.subject())?;
                let round = echo_round(deployment.target(), sessions, &text, &runtime, sizing);
                trials.push(trial(&workload, nodes.subject(), round));
            }
            if clients == 1 {
                let process = vec![(CPU_TIME, vec![hop.process()])];
                let target = Target { endpoints: vec![hop.address.into()], costs: process };
                let session = runtime.block_on(Session::create(hop.address, "/"))?;
                let round = echo_round(target, vec![session], &text, &runtime, sizing);
                trials.push(trial(&workload, HOP.subject(), round));
            }
            let mut series = interleave(sizing.load_rounds, &mut trials)?;
            let most = most(&workload, clients, &series);
            series.extend(most);
            report.add(series);
            for other in [COST_MAX, LATENCY_MAX, Nodes::One.subject()] {
                report.compare(&workload, Nodes::Three.subject(), other);
            }
            report.compare(&workload, Nodes::OneWithStore.subject(), Nodes::One.subject());
        }
    }
    let takeover = |_| takeover::measure(&packages, store, &text, &runtime);
    let rounds = (0..sizing.load_rounds).map(takeover).collect::<Result<_>>()?;
    let (workload, subject) = ("owner killed".to_owned(), Nodes::Three.subject());
    report.add(vec![Series { workload, subject, metric: takeover::TIME, rounds }]);
    Ok(())
}

fn trial(
    workload: &str,
    subject: &'static str,
    round: impl FnMut() -> Result<Readings> + 'static,
) -> Trial {
    Trial { workload: workload.to_owned(), subject, round: Box::new(round) }
}

fn commit_round(
    store: Store<'_>,
    clients: usize,
    runtime: &Rc<Runtime>,
    sizing: &Sizing,
) -> impl FnMut() -> Result<Readings> + 'static {
    let (url, process) = (store.url.to_owned(), store.process);
    let (runtime, duration) = (Rc::clone(runtime), sizing.load_duration);
    move || runtime.block_on(commit::measure(&url, process, clients, duration))
}

fn echo_round(
    target: Target,
    sessions: Vec<Session>,
    text: &str,
    runtime: &Rc<Runtime>,
    sizing: &Sizing,
) -> impl FnMut() -> Result<Readings> + 'static {
    let sessions = RefCell::new(sessions);
    let (text, runtime, duration) = (text.to_owned(), Rc::clone(runtime), sizing.load_duration);
    move || {
        let mut current = sessions.take();
        let readings = runtime.block_on(measure_target(&target, &mut current, &text, duration));
        sessions.replace(current);
        readings
    }
}

/// Returns what three nodes should cost and take at most.
fn most(workload: &str, clients: usize, series: &[Series]) -> Vec<Series> {
    let rounds = |subject, metric| {
        let matches = |one: &&Series| one.subject == subject && one.metric == metric;
        series.iter().find(matches).map(|one| one.rounds.clone()).unwrap_or_default()
    };
    let cost = |metric| {
        let (nodes, commits) = (rounds(Nodes::One.subject(), metric), rounds(COMMIT, metric));
        nodes.into_iter().zip(commits).map(|(node, commit)| 1.5 * node + commit).collect()
    };
    let series = |subject, metric, rounds| {
        let workload = workload.to_owned();
        Series { workload, subject, metric, rounds }
    };
    if clients > 1 {
        return [CPU_TIME, MEDIAN].map(|metric| series(COST_MAX, metric, cost(metric))).into();
    }
    let [nodes, commits, hops] =
        [Nodes::One.subject(), COMMIT, HOP.subject()].map(|subject| rounds(subject, MEDIAN));
    let latencies = nodes.into_iter().zip(commits).zip(hops);
    let latencies = latencies.map(|((node, commit), hop)| node + commit + hop).collect();
    vec![series(COST_MAX, CPU_TIME, cost(CPU_TIME)), series(LATENCY_MAX, MEDIAN, latencies)]
}
