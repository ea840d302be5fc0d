//! Worlds in one process, in virtual time, through the real shell.

use std::env;

use rejoin_tests::world::{Tally, run_seeds};
use rejoin_wire::{Knobs, Sabotage, run_here, shrink_here};

/// How many worlds there are, unless it is told otherwise.
const WORLDS: u64 = 200;
/// On how many threads.
const THREADS: usize = 2;

/// What must be seen at least once in many worlds.
const EXPECTED: [&str; 64] = [
    "answers",
    "answers: late",
    "answers: never",
    "answers: to nobody",
    "answers: twice",
    "backends: dead",
    "clients: away",
    "connections: closed to poll",
    "drops: between two events",
    "drops: in the middle of an event",
    "drops: nothing came any more",
    "drops: stalled",
    "ends: backend gone",
    "ends: before it began",
    "ends: deleted",
    "ends: idle",
    "ends: otherwise",
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
    "links: steady",
    "messages: in a burst",
    "messages: too large",
    "polls",
    "posts: doubled",
    "posts: lost",
    "questions: answered",
    "questions: failed",
    "questions: heard",
    "questions: withdrawn",
    "replays",
    "requests",
    "requests: answered",
    "requests: cancelled",
    "requests: doubled",
    "requests: due",
    "requests: expired",
    "requests: failed",
    "requests: refused",
    "requests: session closed",
    "requests: unreachable",
    "requests: wrong",
    "resumes",
    "resumes: foreign id",
    "resumes: future id",
    "resumes: old id",
    "resumes: refused",
    "senders: let go on",
    "senders: not waiting",
    "sessions: shut down",
    "signs of life",
    "steady readers",
    "steady readers: with pauses longer than the shortest stall timeout",
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
    let tally = run_seeds(first..first + worlds, THREADS, run_seed);
    let tally = tally.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{worlds} worlds over the wire, by what happened:\n{tally}");
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

/// Returns what is wrong with worlds where the server does something wrong, one after the
/// other.
fn wrongs(sabotage: Sabotage) -> impl Iterator<Item = String> {
    let sabotaged = move |seed| Knobs { sabotage: Some(sabotage), ..Knobs::draw(seed) };
    (0..12).filter_map(move |seed| Some(run_here(&sabotaged(seed)).err()?.what))
}

/// Worlds that look wrong and are right: a gap is told in two lines while another GET
/// begins, the head of a response comes long after the server has a rival, and events are
/// sent on the connection of a GET whose client never got its head.
#[test]
fn what_looks_wrong_is_right() {
    for seed in [1_476, 3_267, 21_182, 21_345] {
        run_seed(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..5 {
        let outcome = || run_here(&Knobs::draw(seed)).map(|tally| tally.to_string());
        assert_eq!(outcome().unwrap(), outcome().unwrap());
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
        (Sabotage::Miscounts, "told of a gap"),
        (Sabotage::CutsEvents, "ends in the middle of an event"),
        (Sabotage::DropsPosts, "were accepted, but the session had"),
        (Sabotage::DoublesPosts, "heard twice what was told once"),
        (Sabotage::ForgetsRequests, "and never came to the session"),
        (Sabotage::Accepts, "a request with a wrong"),
        (Sabotage::Denies, "nothing explains Closed"),
        (Sabotage::Garbles, "a backend heard what is no message"),
        (Sabotage::Deafens, "and should hear"),
        (Sabotage::Buries, "takes its backend for dead"),
        (Sabotage::Loosens, "was held to other limits"),
        (Sabotage::Panics, "it panicked: panicked at"),
    ] {
        let mut others = Vec::new();
        let is_seen = wrongs(sabotage).any(|seen| {
            let is_it = seen.contains(wrong);
            others.push(seen);
            is_it
        });
        assert!(is_seen, "{sabotage:?}: {others:#?}");
    }
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
