//! Simulations in one process, in virtual time, with the real shell.

use rejoin_tests::kit::{Coverage, DeliberateBug, Suite, shrink};
use rejoin_wire::{Failure, Parameters, run_in_process};

const SUITE: Suite = Suite {
    simulations: 200,
    simulations_variable: "REJOIN_WIRE_SIMULATIONS",
    seed_variable: "REJOIN_WIRE_SEED",
    threads: 2,
    command: "cargo test -p rejoin-wire --test in_process simulations_pass_and_cover_everything",
};

/// The counters that many simulations must hit.
const EXPECTED: [&str; 70] = [
    "sessions: drained",
    "responses",
    "responses: late",
    "responses: never",
    "responses: to an unknown request",
    "responses: duplicated",
    "backends: exited",
    "clients: absent",
    "connections: disconnected by the backend",
    "disconnects: between events",
    "disconnects: mid-event",
    "disconnects: keep-alive timeout",
    "disconnects: stalled",
    "ends: backend gone",
    "ends: before initialized",
    "ends: deleted",
    "ends: idle",
    "ends: other",
    "events received",
    "failures: backend gone",
    "failures: evicted",
    "failures: expired",
    "failures: orphaned",
    "failures: session closed",
    "gaps",
    "links: cut with unread data",
    "links: cut before the first byte",
    "links: cut after some bytes",
    "links: half-open at the server",
    "links: half-open at the client",
    "links: steady",
    "memory: limit above what is kept",
    "memory: limit below what is kept",
    "memory: limit lifted",
    "memory: sender waits for other sessions",
    "memory: shrinks later",
    "messages: burst",
    "messages: too large",
    "retry hints",
    "posts: duplicated",
    "posts: lost",
    "server requests: answered",
    "server requests: failed",
    "server requests: received",
    "server requests: cancelled",
    "requests",
    "requests: answered",
    "requests: cancelled",
    "requests: duplicated",
    "requests: without faults",
    "requests: expired",
    "requests: failed",
    "requests: refused",
    "requests: session closed",
    "requests: unreachable",
    "requests: invalid",
    "resumes",
    "resumes: foreign id",
    "resumes: future id",
    "resumes: old id",
    "resumes: refused",
    "senders: released",
    "senders: waiting for room",
    "senders: ignoring backpressure",
    "sessions: shut down",
    "keep-alive comments",
    "steady readers",
    "steady readers: pauses above the minimum stall timeout",
    "takeovers: request stream",
    "takeovers: standalone stream",
];

#[test]
fn simulations_pass_and_cover_everything() {
    SUITE
        .run(run_seed, |coverage| coverage.never_hit(&EXPECTED))
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn run_seed(seed: u64) -> Result<Coverage, String> {
    run_in_process(&Parameters::draw(seed))
        .map_err(|failure| shrink(failure, run_in_process).save_journal().to_string())
}

fn run_with_bug(seed: u64, bug: DeliberateBug) -> Result<Coverage, Box<Failure>> {
    let mut parameters = Parameters::draw(seed);
    parameters.base.bug = Some(bug);
    run_in_process(&parameters)
}

/// Seeds that once failed because of a wrong check: a gap is reported in two parts while a
/// competing GET begins, a response head arrives long after the server has a competing GET, and
/// events are sent on the connection of a GET whose client never received the response head.
#[test]
fn regression_seeds_pass() {
    for seed in [1_476, 3_267, 21_182, 21_345] {
        run_seed(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn simulations_are_deterministic() {
    for seed in 0..5 {
        let outcome =
            || run_in_process(&Parameters::draw(seed)).map(|coverage| coverage.to_string());
        assert_eq!(outcome().unwrap(), outcome().unwrap());
    }
}

#[test]
fn deliberate_bugs_are_detected() {
    for (bug, expected) in [
        (DeliberateBug::LosesEvent, "is missing before"),
        (DeliberateBug::LosesEvent, "have no response"),
        (DeliberateBug::DuplicatesEvent, "is duplicated or out of order"),
        (DeliberateBug::MisroutesEvent, "was received on the stream of"),
        (DeliberateBug::MisroutesEvent, "belongs to session"),
        (DeliberateBug::HidesGaps, "is missing before"),
        (DeliberateBug::StopsSending, "nothing was received on a fault-free connection"),
        (DeliberateBug::LeaksConnection, "tasks are left"),
        (DeliberateBug::WrongGapLog, "in the log notification"),
        (DeliberateBug::TruncatesEvent, "ends in the middle of an event"),
        (DeliberateBug::DropsPost, "POSTs were accepted, but the session received"),
        (DeliberateBug::DuplicatesPost, " twice"),
        (DeliberateBug::DropsRequest, "but never reached the session"),
        (DeliberateBug::AcceptsInvalid, "an invalid request"),
        (DeliberateBug::DeniesSession, "nothing justifies Closed"),
        (DeliberateBug::TruncatesMessage, "a backend received an invalid message"),
        (DeliberateBug::DropsMessage, "instead of"),
        (DeliberateBug::DropsBackend, "its backend, which has not exited"),
        (DeliberateBug::WrongLimits, "has the wrong config"),
        (DeliberateBug::Panics, "it panicked: panicked at"),
    ] {
        let detected = bug.check_detected(expected, 0..12, |seed| run_with_bug(seed, bug));
        detected.unwrap_or_else(|failure| panic!("{failure}"));
    }
}
