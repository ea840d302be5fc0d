//! Worlds over sockets, through the program as a process.

use std::{
    env,
    io::{self, Write},
    thread,
};

use rejoin_tests::world::Tally;
use rejoin_wire::{Build, Kind, Knobs, Programs, build, run_there};

/// How many worlds there are, unless it is told otherwise: half of them with a process for
/// each session, half of them with the program's own server.
const WORLDS: u64 = 12;
/// How many requests each of them has.
const REQUESTS: usize = 60;
/// On how many threads: they mostly wait.
const THREADS: u64 = 4;

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
    let run = move |nth: u64| {
        let mut seeds = (first + nth..first + worlds).step_by(usize::try_from(THREADS).unwrap());
        seeds.try_fold(Tally::default(), |mut tally, seed| {
            tally.merge(&run_seed(seed, &programs)?);
            Ok::<_, String>(tally)
        })
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|nth| {
            thread::spawn({
                let run = run.clone();
                move || run(nth)
            })
        })
        .collect();
    // All of them, lest a server be left behind where one has failed.
    let all: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    let mut tally = Tally::default();
    for seen in all {
        let seen = seen.unwrap();
        tally.merge(&seen.unwrap_or_else(|failure| panic!("{failure}")));
    }
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
