//! Short soaks of several nodes with one store. Ignored unless asked for, because the server of the
//! store is downloaded.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use rejoin_test_support::{engine, program_path};
use rejoin_wire::{ClusterBug, ClusterSoak, Takeover, Violation, run_cluster_server, soak_cluster};
use tokio::runtime::Builder;

/// The first argument that makes this executable the server of one session instead of a test.
const SERVER: &str = "server";

/// Runs the tests, or, with [`SERVER`] and a file as arguments, a stdio server that records there what
/// it executes.
fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let [_, first, record] = arguments.as_slice()
        && first == SERVER
    {
        run_cluster_server(Path::new(record)).unwrap();
        return ExitCode::SUCCESS;
    }
    let bugs = [
        (ClusterBug::LosesEvent, Violation::Loss),
        (ClusterBug::RepeatsEvent, Violation::Duplicate),
        (ClusterBug::ReusesId, Violation::TwoContents),
        (ClusterBug::Misroutes, Violation::WrongStream),
        (ClusterBug::RepeatsCall, Violation::Execution),
    ];
    let finds = bugs.map(|(bug, violation)| {
        Trial::test(format!("finds_{bug:?}"), move || finds(bug, violation))
    });
    let soaks = [Takeover::Reopen, Takeover::End].map(|takeover| {
        Trial::test(format!("nothing_is_lost_with_{takeover:?}"), move || loses_nothing(takeover))
    });
    let tests = finds.into_iter().chain(soaks).map(|test| test.with_ignored_flag(true));
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

fn soak() -> ClusterSoak {
    let itself = env::current_exe().unwrap().display().to_string();
    ClusterSoak {
        rejoin: program_path().into(),
        server: vec![itself, SERVER.to_owned()],
        store: stores().swap_remove(0),
        takeover: Takeover::Reopen,
        seed: 0,
        clients: 8,
        rounds: 1,
        fault_phase: Duration::from_secs(15),
        bug: None,
        logs: None,
    }
}

fn stores() -> Vec<PathBuf> {
    engine::programs(env!("CARGO_TARGET_TMPDIR"))
}

/// A node is killed, and the store restarts empty.
fn loses_nothing(takeover: Takeover) -> Result<(), Failed> {
    let found = run(&ClusterSoak { takeover, ..soak() })?;
    if !found.is_fine() || found.count("faults: kill") == 0 {
        return Err(format!("{found}").into());
    }
    Ok(())
}

/// A deliberate bug is found without any fault.
fn finds(bug: ClusterBug, violation: Violation) -> Result<(), Failed> {
    let fault_phase = Duration::from_millis(1_900);
    let found = run(&ClusterSoak { bug: Some(bug), clients: 4, fault_phase, ..soak() })?;
    if !found.violations.contains_key(&violation) {
        return Err(format!("{violation:?} was not found: {found}").into());
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "it is the output of the test")]
fn run(soak: &ClusterSoak) -> Result<rejoin_wire::ClusterReport, Failed> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut report = |text: &dyn Display| eprintln!("{text}");
    Ok(runtime.block_on(soak_cluster(soak, &mut report))?)
}
