//! Random histories on a session and on its model.

use std::{env, thread};

use proptest::prelude::*;
use rejoin_tests::history::{Op, Setup, generate, ops, setups};
use rejoin_tests::runner::Plan;
use rejoin_tests::stats::Stats;

/// Default number of accepted inputs of the long histories.
const INPUTS: u64 = 3_000_000;
/// Number of threads: thread `n` runs every `THREADS`th seed from the `n`th on.
const THREADS: usize = 2;
/// Number of ops of each history.
const OPS: usize = 1_500;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        // Failures are printed, and turned into tests by hand.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_session_agrees_with_its_model(setup in setups(), ops in ops(0..400)) {
        run(&setup, &ops, 0)?;
    }

    #[test]
    fn a_restored_session_agrees_with_its_model(
        setup in setups(),
        ops in ops(0..200),
        restore_every in 1_usize..40,
    ) {
        run(&setup, &ops, restore_every)?;
    }
}

fn run(setup: &Setup, ops: &[Op], restore_every: usize) -> Result<(), TestCaseError> {
    let outcome = Plan { setup, ops, restore_every }.run(&mut Stats::default());
    outcome.map_err(|failure| TestCaseError::fail(failure.to_string()))
}

#[test]
fn the_same_history_has_the_same_outcome() {
    for seed in 0..20 {
        let outcome = || {
            let (setup, ops) = generate(seed, 300);
            let mut stats = Stats::default();
            let plan = Plan { setup: &setup, ops: &ops, restore_every: 50 };
            let failure = plan.run(&mut stats).err();
            (stats.to_string(), failure.map(|failure| failure.to_string()))
        };
        assert_eq!(outcome(), outcome());
    }
}

/// Runs three million accepted inputs, and expects every kind of input, rejection, action
/// and event.
///
/// `REJOIN_MODEL_INPUTS` sets the number of inputs, `REJOIN_MODEL_SEED` the first seed.
#[test]
fn long_histories_agree_with_the_model() {
    let inputs = variable("REJOIN_MODEL_INPUTS").unwrap_or(INPUTS);
    let stats = long_run("long_histories_agree_with_the_model", inputs, |_| 0)
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!("{inputs} inputs, by kind:\n{stats}");
    if inputs >= INPUTS {
        let missing: Vec<_> = stats.missing_with_model().collect();
        assert!(missing.is_empty(), "kinds that were never seen: {missing:#?}");
        assert!(stats.accepted > 3 * stats.rejected, "too many inputs were rejected");
    }
}

/// Runs a fifth as many inputs, with restores in between at various intervals.
#[test]
fn long_histories_with_restores_agree_with_the_model() {
    let inputs = variable("REJOIN_MODEL_INPUTS").unwrap_or(INPUTS) / 5;
    let every = |seed| 7 + usize::try_from(seed % 60).unwrap_or(0);
    let stats = long_run("long_histories_with_restores_agree_with_the_model", inputs, every)
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!("{inputs} inputs with restores in between, by kind:\n{stats}");
}

fn long_run(
    name: &'static str,
    inputs: u64,
    restore_every: fn(u64) -> usize,
) -> Result<Stats, String> {
    let first = variable("REJOIN_MODEL_SEED").unwrap_or(0);
    let run = move |thread| {
        let seeds = (first..).skip(thread).step_by(THREADS);
        run_seeds(name, seeds, inputs / THREADS as u64, restore_every)
    };
    let threads: Vec<_> = (0..THREADS).map(|thread| thread::spawn(move || run(thread))).collect();
    let mut stats = Stats::default();
    for thread in threads {
        stats.merge(&thread.join().map_err(|_| "a history panicked")??);
    }
    Ok(stats)
}

/// Runs the histories of `seeds` until `inputs` were accepted.
fn run_seeds(
    name: &str,
    seeds: impl Iterator<Item = u64>,
    inputs: u64,
    restore_every: fn(u64) -> usize,
) -> Result<Stats, String> {
    let mut stats = Stats::default();
    for seed in seeds {
        let (setup, ops) = generate(seed, OPS);
        let plan = Plan { setup: &setup, ops: &ops, restore_every: restore_every(seed) };
        plan.run(&mut stats).map_err(|failure| {
            let (ops, failure) = plan.minimize().unwrap_or((ops.clone(), failure));
            format!(
                "{failure}\n\nof {ops:?}\nrerun with REJOIN_MODEL_SEED={seed} \
                 REJOIN_MODEL_INPUTS=1 cargo test -p rejoin-tests --test model {name}"
            )
        })?;
        if stats.accepted >= inputs {
            break;
        }
    }
    Ok(stats)
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
