//! Worlds in one process, in virtual time, through the real shell.

use std::{
    env,
    io::{self, Write},
    thread,
};

use rejoin_tests::world::{Sabotage, Tally};
use rejoin_wire::{Knobs, run_here, shrink_here};

/// How many worlds there are, unless it is told otherwise.
const WORLDS: u64 = 200;
/// On how many threads.
const THREADS: u64 = 2;

/// What must be seen at least once in many worlds.
const EXPECTED: [&str; 46] = [
    "answers",
    "clients: away",
    "drops: between two events",
    "drops: in the middle of an event",
    "drops: nothing came any more",
    "ends: backend gone",
    "ends: before it began",
    "ends: deleted",
    "ends: idle",
    "events seen",
    "failures: backend gone",
    "failures: evicted",
    "failures: expired",
    "failures: orphaned",
    "failures: session closed",
    "gaps",
    "links: cut after all was written",
    "links: cut before the first byte",
    "links: cut midway",
    "links: half-open",
    "links: lost by the server alone",
    "polls",
    "posts: doubled",
    "posts: lost",
    "questions: failed",
    "questions: heard",
    "replays",
    "requests",
    "requests: answered",
    "requests: cancelled",
    "requests: doubled",
    "requests: due",
    "requests: expired",
    "requests: failed",
    "requests: session closed",
    "requests: unreachable",
    "requests: wrong",
    "resumes",
    "resumes: foreign id",
    "resumes: future id",
    "resumes: old id",
    "resumes: refused",
    "senders: let go on",
    "signs of life",
    "takeovers: request stream",
    "takeovers: standalone stream",
];

/// Runs many worlds, and sees everything in them that may happen.
///
/// `REJOIN_WIRE_WORLDS` says how many worlds, `REJOIN_WIRE_SEED` from which seed on.
#[test]
fn many_worlds() {
    let worlds = variable("REJOIN_WIRE_WORLDS").unwrap_or(WORLDS);
    let first = variable("REJOIN_WIRE_SEED").unwrap_or(0);
    let run = move |nth: u64| {
        let mut seeds = (first + nth..first + worlds).step_by(usize::try_from(THREADS).unwrap());
        seeds.try_fold(Tally::default(), |mut tally, seed| {
            tally.merge(&run_seed(seed)?);
            Ok::<_, String>(tally)
        })
    };
    let threads: Vec<_> = (0..THREADS).map(|nth| thread::spawn(move || run(nth))).collect();
    let mut tally = Tally::default();
    for thread in threads {
        let seen = thread.join().unwrap();
        tally.merge(&seen.unwrap_or_else(|failure| panic!("{failure}")));
    }
    let _ = writeln!(io::stderr(), "{tally}");
    if worlds >= WORLDS {
        let missing: Vec<_> = EXPECTED.iter().filter(|kind| tally.count(kind) == 0).collect();
        assert!(missing.is_empty(), "never seen: {missing:#?}");
    }
}

fn run_seed(seed: u64) -> Result<Tally, String> {
    run_here(&Knobs::draw(seed)).map_err(|failure| {
        format!(
            "{}\n\nrerun with REJOIN_WIRE_SEED={seed} REJOIN_WIRE_WORLDS=1 \
             cargo test -p rejoin-wire --test here many_worlds",
            shrink_here(failure)
        )
    })
}

/// Returns what is wrong with some worlds where the server does something wrong.
fn wrongs(sabotage: Sabotage) -> Vec<String> {
    let sabotaged = |seed| {
        let mut knobs = Knobs::draw(seed);
        knobs.world.sabotage = Some(sabotage);
        knobs
    };
    (0..12).filter_map(|seed| Some(run_here(&sabotaged(seed)).err()?.what)).collect()
}

/// Seeds that were once taken for wrong: a gap that is told in two lines while another GET
/// begins, and a head of a response that comes long after the server had a rival.
#[test]
fn what_was_wrong_once_is_right() {
    for seed in [1_476, 3_267] {
        run_seed(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn a_server_that_errs_is_seen() {
    for (sabotage, wrong) in [
        (Sabotage::Loses, "is missing before"),
        (Sabotage::Loses, "have no answer"),
        (Sabotage::Repeats, "comes again, or too late"),
        (Sabotage::Misroutes, "came on the stream of"),
        (Sabotage::Misroutes, "is of session"),
        (Sabotage::HidesGaps, "is missing before"),
        (Sabotage::Holds, "nothing comes on a sound connection"),
        (Sabotage::Leaks, "tasks are left"),
    ] {
        let seen = wrongs(sabotage);
        assert!(seen.iter().any(|seen| seen.contains(wrong)), "{sabotage:?}: {seen:#?}");
    }
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
