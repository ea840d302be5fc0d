//! Whole worlds: many clients, sessions and backends, and all that goes wrong.

use std::{env, fs, path::Path};

use rejoin_tests::journal::Journal;
use rejoin_tests::world::{Knobs, REQUESTS_MIN, Sabotage, Tally, run, run_seeds, shrink};

/// How many worlds there are, unless it is told otherwise.
const WORLDS: u64 = 500;
/// On how many threads.
const THREADS: usize = 2;
/// Worlds that look wrong and are right: a cancellation overtakes its request, whose client
/// does not wait for ever; an id is in use that is sent twice; a request is repeated with the
/// same progress token; a late answer keeps a session awake; the id of a cancelled request
/// leaves no room for the next one; a reservation expires before its request arrives;
/// a stream is resumed and at its end within one step.
const LOOKS_WRONG: [u64; 8] =
    [977, 2_642, 5_959, 50_169, 1_000_081, 3_000_189, 4_000_939, 24_000_761];

/// Runs at least five hundred worlds, and sees everything in them that may happen.
///
/// `REJOIN_WORLDS` says how many worlds, `REJOIN_WORLD_SEED` from which seed on.
#[test]
fn many_worlds() {
    let worlds = variable("REJOIN_WORLDS").unwrap_or(WORLDS);
    let first = variable("REJOIN_WORLD_SEED").unwrap_or(0);
    let tally = run_seeds(first..first + worlds, THREADS, run_seed);
    let tally = tally.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{worlds} worlds, by what happened:\n{tally}");
    if worlds >= WORLDS {
        let missing: Vec<_> = tally.missing().collect();
        assert!(missing.is_empty(), "never seen: {missing:#?}");
    }
}

fn run_seed(seed: u64) -> Result<Tally, String> {
    let tally = run(&Knobs::draw(seed)).map_err(|failure| {
        format!(
            "{}\n\nrerun with REJOIN_WORLD_SEED={seed} REJOIN_WORLDS=1 \
             cargo test -p rejoin-tests --test world many_worlds",
            shrink(failure)
        )
    })?;
    let requests = tally.count("requests");
    if requests < u64::try_from(REQUESTS_MIN).unwrap_or(0) {
        return Err(format!("seed {seed}: only {requests} requests were accepted"));
    }
    Ok(tally)
}

#[test]
fn what_looks_wrong_is_right() {
    for seed in LOOKS_WRONG {
        run_seed(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..5 {
        let outcome = || run(&Knobs::draw(seed)).map(|tally| tally.to_string());
        assert_eq!(outcome().unwrap(), outcome().unwrap());
    }
}

/// Returns what is wrong with some worlds where the driver does something wrong.
fn wrongs(sabotage: Sabotage) -> Vec<String> {
    let sabotaged = |seed| Knobs { sabotage: Some(sabotage), ..Knobs::draw(seed) };
    (0..20).filter_map(|seed| Some(run(&sabotaged(seed)).err()?.what)).collect()
}

#[test]
fn a_driver_that_errs_is_seen() {
    for (sabotage, wrong) in [
        (Sabotage::Loses, "is missing before"),
        (Sabotage::Loses, "have no answer"),
        (Sabotage::Repeats, "comes again, or too late"),
        (Sabotage::Misroutes, "is of stream"),
        (Sabotage::HidesGaps, "is missing before"),
        (Sabotage::Holds, "a sender is held up"),
        (Sabotage::Leaks, "at rest, it still holds something"),
    ] {
        let seen = wrongs(sabotage);
        assert!(seen.iter().any(|seen| seen.contains(wrong)), "{sabotage:?}: {seen:#?}");
    }
}

#[test]
fn a_failure_is_shrunk_and_says_how_to_run_it_again() {
    let sabotaged = |seed| Knobs { sabotage: Some(Sabotage::Repeats), ..Knobs::draw(seed) };
    let failure = (0..20).find_map(|seed| run(&sabotaged(seed)).err()).unwrap();
    let knobs = failure.knobs.clone();
    let small = shrink(failure);
    assert_eq!(small.knobs.clients.len(), 1);
    assert!(small.knobs.requests <= knobs.requests);
    assert!(small.knobs.faults.present().len() < knobs.faults.present().len());
    assert!(small.to_string().contains(&format!("seed {}:", knobs.seed)));
    let journal = &small.journal;
    assert!(!journal.inputs.is_empty());
    assert_eq!(journal.check(), Ok(()), "the session itself is not to blame");
}

/// What `rejoin serve --journal` has recorded of a client that came back.
const JOURNAL: &str = "tests/journals/resumed.jsonl";

/// Lets the laws judge a journal: the one that `REJOIN_WORLD_JOURNAL` names, as seen from
/// the workspace, or one that is kept here.
#[test]
fn a_journal_is_lawful() {
    let named = env::var("REJOIN_WORLD_JOURNAL").unwrap_or(JOURNAL.to_owned());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&named);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{named}: {error}"));
    let journal = Journal::read(&text).unwrap_or_else(|error| panic!("{named}: {error}"));
    let count = journal.inputs.len();
    assert!(count > 0, "{named}: nothing happens in it");
    journal.check().unwrap_or_else(|(nth, wrong)| panic!("{named}: input {nth}: {wrong}"));
    println!("{count} inputs of a journal");
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
