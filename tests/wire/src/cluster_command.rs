//! The command that soaks several nodes.

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rejoin_test_support::{build_released_program, engine};
use rejoin_wire::{ClusterBug, ClusterSoak, Takeover, soak_cluster};
use tokio::runtime::Builder;
use tokio::time::Instant;

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Duration in minutes: half of it with each policy of takeovers
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Seed of faults and clients
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of clients
    #[arg(long, default_value_t = 48)]
    clients: u64,
    /// Only this policy of takeovers
    #[arg(long)]
    takeover: Option<Policy>,
    /// Bug between nodes and clients, which must be found
    #[arg(long)]
    deliberate_bug: Option<Bug>,
    /// Directory in which the logs of the nodes are kept
    #[arg(long)]
    logs: Option<PathBuf>,
    /// The program under test; by default it is built
    #[arg(long)]
    rejoin: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Policy {
    End,
    Reopen,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bug {
    LosesEvent,
    RepeatsEvent,
    ReusesId,
    Misroutes,
    RepeatsCall,
}

/// Duration of a round, with its calm phase: about a minute.
const ROUND: Duration = Duration::from_secs(60);
/// Duration of its phase with faults.
const FAULT_PHASE: Duration = Duration::from_secs(45);

/// Runs the soak, and exits with an error if a promise was broken.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let itself = env::current_exe()?;
    let target = itself.parent().and_then(|it| it.parent()).context("no build directory")?;
    let stores = engine::programs(&target.join("tmp").display().to_string());
    let policies = [(Policy::Reopen, Takeover::Reopen), (Policy::End, Takeover::End)];
    let policies = policies
        .into_iter()
        .filter(|(policy, _)| options.takeover.is_none_or(|only| only == *policy));
    let policies: Vec<Takeover> = policies.map(|(_, takeover)| takeover).collect();
    let rounds = options.minutes * 60 / ROUND.as_secs() / u64::try_from(policies.len())?;
    let started = Instant::now();
    let mut is_fine = true;
    let rejoin = options.rejoin.clone().unwrap_or_else(|| build_released_program().into());
    for (takeover, store) in policies.into_iter().zip(stores.iter().cycle()) {
        let soak = ClusterSoak {
            rejoin: rejoin.clone(),
            server: vec![itself.display().to_string(), "cluster-server".to_owned()],
            store: store.clone(),
            takeover,
            seed: options.seed,
            clients: options.clients,
            rounds: rounds.max(1),
            fault_phase: FAULT_PHASE,
            bug: options.deliberate_bug.map(Bug::injected),
            logs: options.logs.clone(),
        };
        let mut report = |text: &dyn Display| {
            print(&format_args!("{:>5} s  {takeover:?}: {text}", started.elapsed().as_secs()));
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let found = runtime.block_on(soak_cluster(&soak, &mut report))?;
        print(&found);
        is_fine &= found.is_fine();
    }
    process::exit(i32::from(!is_fine));
}

impl Bug {
    fn injected(self) -> ClusterBug {
        match self {
            Self::LosesEvent => ClusterBug::LosesEvent,
            Self::RepeatsEvent => ClusterBug::RepeatsEvent,
            Self::ReusesId => ClusterBug::ReusesId,
            Self::Misroutes => ClusterBug::Misroutes,
            Self::RepeatsCall => ClusterBug::RepeatsCall,
        }
    }
}

fn print(text: &dyn Display) {
    // A closed stdout is not an error.
    let _ = writeln!(io::stdout(), "{text}");
}
