//! Many simulations of clients, sessions and backends with faults.

use std::{env, fs, path::Path};

use rejoin_tests::journal::Journal;
use rejoin_tests::kit::{
    ACCEPTED_REQUESTS_MIN, Coverage, DeliberateBug, Fault, Parameters, Suite, shrink,
};
use rejoin_tests::simulation::{Failure, application, run};

const SUITE: Suite = Suite {
    simulations: 500,
    simulations_variable: "REJOIN_SIMULATIONS",
    seed_variable: "REJOIN_SIMULATION_SEED",
    threads: 2,
    command: "cargo test -p rejoin-tests --test simulation simulations_pass_and_cover_everything",
};
const CLIENT_SUITE: Suite = Suite {
    simulations: 200,
    simulations_variable: "REJOIN_CLIENT_SIMULATIONS",
    seed_variable: "REJOIN_CLIENT_SIMULATION_SEED",
    threads: 2,
    command: "cargo test -p rejoin-tests --test simulation client_machine_passes",
};
/// Seeds that once failed because of a wrong check: a cancellation overtakes its request, whose
/// client does not wait forever; the id of a duplicate is in use; a request is repeated with
/// the same progress token; a late response resets the idle timer; the id of a cancelled
/// request blocks the next one; a stream is resumed and ends within one step; a client was told to
/// come back later.
const REGRESSION_SEEDS: [u64; 9] =
    [977, 2_642, 5_959, 50_169, 1_000_081, 3_000_189, 4_000_939, 24_000_761, 100_588];

#[test]
fn simulations_pass_and_cover_everything() {
    SUITE
        .run(run_seed, |coverage| coverage.missing().collect())
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn run_seed(seed: u64) -> Result<Coverage, String> {
    run_with(&Parameters::draw(seed))
}

fn run_with(parameters: &Parameters) -> Result<Coverage, String> {
    let coverage = run(parameters).map_err(|failure| shrink(failure, run).to_string())?;
    let requests = coverage.hits("requests");
    if requests < u64::try_from(ACCEPTED_REQUESTS_MIN).unwrap_or(0) {
        return Err(format!("seed {}: only {requests} requests were accepted", parameters.seed));
    }
    Ok(coverage)
}

#[test]
fn client_machine_passes_simulations_and_covers_everything() {
    CLIENT_SUITE
        .run(application::run, |coverage| coverage.never_hit(&application::EXPECTED))
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn regression_seeds_pass() {
    for seed in REGRESSION_SEEDS {
        let mut parameters = Parameters::draw(seed);
        // With these, their histories would be others.
        parameters.faults.remove(Fault::LowerLimit);
        parameters.faults.remove(Fault::Drain);
        run_with(&parameters).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn simulations_are_deterministic() {
    for seed in 0..5 {
        let outcome = || run(&Parameters::draw(seed)).map(|coverage| coverage.to_string());
        assert_eq!(outcome().unwrap(), outcome().unwrap());
    }
}

fn run_with_bug(seed: u64, bug: DeliberateBug) -> Result<Coverage, Box<Failure>> {
    run(&Parameters { bug: Some(bug), ..Parameters::draw(seed) })
}

#[test]
fn deliberate_bugs_are_detected() {
    for (bug, expected) in [
        (DeliberateBug::LosesEvent, "is missing before"),
        (DeliberateBug::LosesEvent, "have no response"),
        (DeliberateBug::DuplicatesEvent, "is duplicated or out of order"),
        (DeliberateBug::MisroutesEvent, "belongs to stream"),
        (DeliberateBug::HidesGaps, "is missing before"),
        (DeliberateBug::NeverReleases, "a sender is held"),
        (DeliberateBug::LeaksConnection, "an idle session still holds something"),
    ] {
        let detected = bug.check_detected(expected, 0..20, |seed| run_with_bug(seed, bug));
        detected.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn failures_are_minimized_and_name_their_seed() {
    let bug = DeliberateBug::DuplicatesEvent;
    let failure = (0..20).find_map(|seed| run_with_bug(seed, bug).err()).unwrap();
    let parameters = failure.parameters.clone();
    let small = shrink(failure, run);
    assert_eq!(small.parameters.clients.len(), 1);
    assert!(small.parameters.requests <= parameters.requests);
    assert!(small.parameters.faults.present().len() < parameters.faults.present().len());
    assert!(small.to_string().contains(&format!("seed {}:", parameters.seed)));
    let journal = Journal::read(small.journal().unwrap()).unwrap();
    assert!(!journal.inputs.is_empty());
    assert_eq!(journal.check(), Ok(()), "the session itself is correct");
}

/// A journal that `rejoin serve --journal` recorded of a client that resumed.
const JOURNAL: &str = "tests/journals/resumed.jsonl";

/// Checks the laws on a journal: the file named by `REJOIN_SIMULATION_JOURNAL`, relative to the
/// workspace, or the recorded one.
#[test]
fn journal_obeys_the_laws() {
    let named = env::var("REJOIN_SIMULATION_JOURNAL").unwrap_or(JOURNAL.to_owned());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&named);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{named}: {error}"));
    let journal = Journal::read(&text).unwrap_or_else(|error| panic!("{named}: {error}"));
    let count = journal.inputs.len();
    assert!(count > 0, "{named}: the journal is empty");
    journal.check().unwrap_or_else(|(nth, failure)| panic!("{named}: input {nth}: {failure}"));
    println!("{count} inputs checked");
}
