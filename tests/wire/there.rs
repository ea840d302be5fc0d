//! Worlds over sockets, through the program as a process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "it shows what it has seen, if it is asked to")]

use std::{env, path::Path};

use libtest_mimic::{Arguments, Trial};
use rejoin_tests::world::{Tally, run_seeds};
use rejoin_wire::{Kind, Knobs, Programs, run_child, run_there};

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

/// The first argument that makes this program the server of one session instead of a test.
const CHILD: &str = "child";

/// A test, or with [`CHILD`] and a folder a server on stdin and stdout that writes down there
/// what it receives: a test knows the path of no program but its own and those of its
/// package, which is that of the program under test.
fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, first, folder] = arguments.as_slice()
        && first == CHILD
    {
        run_child(false, Path::new(folder)).unwrap();
        return;
    }
    let tests = vec![Trial::test("some_worlds", || {
        some_worlds();
        Ok(())
    })];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// `REJOIN_WIRE_PROGRAM_WORLDS` says how many worlds, `REJOIN_WIRE_SEED` from which seed on.
fn some_worlds() {
    let worlds = variable("REJOIN_WIRE_PROGRAM_WORLDS").unwrap_or(WORLDS);
    let first = variable("REJOIN_WIRE_SEED").unwrap_or(0);
    let programs = Programs {
        rejoin: env!("CARGO_BIN_EXE_rejoin").into(),
        child: vec![env::current_exe().unwrap().display().to_string(), CHILD.to_owned()],
    };
    let run = move |seed| run_seed(seed, &programs);
    let tally = run_seeds(first..first + worlds, THREADS, run);
    let tally = tally.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{worlds} worlds over sockets:\n{tally}");
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
             cargo test -p rejoin --test there"
        )
    })
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
