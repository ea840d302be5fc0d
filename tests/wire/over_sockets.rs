//! Simulations over sockets, with the program as a process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "shown with `--nocapture`")]

use std::{env, path::Path};

use libtest_mimic::{Arguments, Trial};
use rejoin_test_support::program_path;
use rejoin_tests::kit::{Coverage, run_seeds};
use rejoin_wire::{BackendKind, Parameters, Programs, run_child, run_over_sockets};

/// The default number of simulations: half of them with a process for each session, half with
/// the demo server of the program.
const SIMULATIONS: u64 = 12;
/// Number of requests in each.
const REQUESTS: usize = 60;
/// Number of threads, which mostly wait.
const THREADS: usize = 4;

/// The counters that the default seeds must hit, most of them many times.
const EXPECTED: [&str; 18] = [
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
        simulations_pass_and_cover_everything();
        Ok(())
    })];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// `REJOIN_WIRE_PROGRAM_SIMULATIONS` sets the number of simulations, `REJOIN_WIRE_SEED` the
/// first seed.
fn simulations_pass_and_cover_everything() {
    let simulations = variable("REJOIN_WIRE_PROGRAM_SIMULATIONS").unwrap_or(SIMULATIONS);
    let first = variable("REJOIN_WIRE_SEED").unwrap_or(0);
    let programs = Programs {
        rejoin: program_path().into(),
        child: vec![env::current_exe().unwrap().display().to_string(), CHILD.to_owned()],
    };
    let run = move |seed| run_seed(seed, &programs);
    let coverage = run_seeds(first..first + simulations, THREADS, run);
    let coverage = coverage.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{simulations} simulations over sockets:\n{coverage}");
    if simulations >= SIMULATIONS {
        let missing: Vec<_> = EXPECTED.iter().filter(|kind| coverage.hits(kind) == 0).collect();
        assert!(missing.is_empty(), "never hit: {missing:#?}");
    }
}

fn run_seed(seed: u64, programs: &Programs) -> Result<Coverage, String> {
    let kind = if seed.is_multiple_of(2) { BackendKind::Child } else { BackendKind::Demo };
    run_over_sockets(&Parameters::draw_real_time(seed, kind, REQUESTS), programs).map_err(
        |failure| {
            format!(
                "{failure}\n\nrerun with REJOIN_WIRE_SEED={seed} REJOIN_WIRE_PROGRAM_SIMULATIONS=1 \
             cargo test -p rejoin-cli --test over_sockets"
            )
        },
    )
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
