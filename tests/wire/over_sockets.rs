//! Simulations over sockets, with the program as a process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, path::Path};

use libtest_mimic::{Arguments, Trial};
use rejoin_test_support::program_path;
use rejoin_tests::kit::{Coverage, Suite};
use rejoin_wire::{BackendKind, Parameters, Programs, run_child, run_over_sockets};

const SUITE: Suite = Suite {
    // Half of them with a process for each session, half with the demo server of the program.
    simulations: 12,
    simulations_variable: "REJOIN_WIRE_PROGRAM_SIMULATIONS",
    seed_variable: "REJOIN_WIRE_SEED",
    // They mostly wait.
    threads: 4,
    command: "cargo test -p rejoin-cli --test over_sockets",
};
/// Number of requests in each simulation.
const REQUESTS: usize = 60;

/// The counters that the default seeds must hit, most of them many times.
const EXPECTED: [&str; 21] = [
    "ends: backend gone",
    "ends: deleted",
    "events received",
    "gaps",
    "links: cut with unread data",
    "links: cut before the first byte",
    "links: cut after some bytes",
    "links: half-open at the server",
    "links: slow",
    "links: stalled",
    "memory: limit above what is kept",
    "memory: limit below what is kept",
    "memory: limit lifted",
    "retry hints",
    "server requests: received",
    "requests: answered",
    "requests: failed",
    "requests: session closed",
    "resumes",
    "senders: released",
    "keep-alive comments",
];

/// The first argument that makes this executable the server of one session instead of a test.
const CHILD: &str = "child";

/// Runs the test, or, with [`CHILD`] and a directory as arguments, a stdio server that records
/// there what it receives. They share an executable because a test knows only its own path and
/// those of its package, which is the package of the program under test.
fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, first, directory] = arguments.as_slice()
        && first == CHILD
    {
        run_child(false, Path::new(directory)).unwrap();
        return;
    }
    let tests = vec![Trial::test("simulations_pass_and_cover_everything", || {
        Ok(simulations_pass_and_cover_everything()?)
    })];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn simulations_pass_and_cover_everything() -> Result<(), String> {
    let programs = Programs {
        rejoin: program_path().into(),
        child: vec![env::current_exe().unwrap().display().to_string(), CHILD.to_owned()],
    };
    SUITE.run(move |seed| run_seed(seed, &programs), |coverage| coverage.never_hit(&EXPECTED))
}

fn run_seed(seed: u64, programs: &Programs) -> Result<Coverage, String> {
    let kind = if seed.is_multiple_of(2) { BackendKind::Child } else { BackendKind::Demo };
    run_over_sockets(&Parameters::draw_real_time(seed, kind, REQUESTS), programs)
        .map_err(|failure| failure.to_string())
}
