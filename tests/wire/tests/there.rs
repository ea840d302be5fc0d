//! Worlds over sockets, through the program as a process.

use std::{
    env,
    io::{self, Write},
};

use rejoin_tests::world::{Tally, run_seeds};
use rejoin_wire::{Build, Kind, Knobs, Programs, build, run_there};

/// How many worlds there are, unless it is told otherwise: half of them with a process for
/// each session, half of them with the program's own server.
const WORLDS: u64 = 12;
/// How many requests each of them has.
const REQUESTS: usize = 60;
/// On how many threads: they mostly wait.
const THREADS: usize = 4;

/// What must be seen at least once; each of them happens several times, or many times, with
/// the seeds that there are unless it is told otherwise.
const EXPECTED: [&str; 19] = [
    "ends: backend gone",
    "ends: deleted",
    "events seen",
    "gaps",
    "links: cut after all was written",
    "links: cut before the first byte",
    "links: cut midway",
    "links: half-open",
    "links: slow",
    "links: stalled",
    "polls",
    "questions: heard",
    "replays",
    "requests: answered",
    "requests: failed",
    "requests: session closed",
    "resumes",
    "senders: let go on",
    "signs of life",
];

/// `REJOIN_WIRE_PROGRAM_WORLDS` says how many worlds, `REJOIN_WIRE_SEED` from which seed on.
#[test]
fn some_worlds() {
    let worlds = variable("REJOIN_WIRE_PROGRAM_WORLDS").unwrap_or(WORLDS);
    let first = variable("REJOIN_WIRE_SEED").unwrap_or(0);
    let programs = Programs {
        rejoin: build(Build::Dev).unwrap(),
        wire: env!("CARGO_BIN_EXE_rejoin-wire").into(),
    };
    let run = move |seed| run_seed(seed, &programs);
    let tally = run_seeds(first..first + worlds, THREADS, run);
    let tally = tally.unwrap_or_else(|failure| panic!("{failure}"));
    let _ = writeln!(io::stderr(), "{tally}");
    if worlds >= WORLDS {
        let missing: Vec<_> = EXPECTED.iter().filter(|kind| tally.count(kind) == 0).collect();
        assert!(missing.is_empty(), "never seen: {missing:#?}");
    }
}

fn run_seed(seed: u64, programs: &Programs) -> Result<Tally, String> {
    let kind = if seed.is_multiple_of(2) { Kind::Child } else { Kind::Demo };
    run_there(&Knobs::draw_hurried(seed, kind, REQUESTS), programs).map_err(|failure| {
        format!(
            "{failure}\n\nrerun with REJOIN_WIRE_SEED={seed} REJOIN_WIRE_PROGRAM_WORLDS=1 \
             cargo test -p rejoin-wire --test there"
        )
    })
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
