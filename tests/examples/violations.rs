//! Statistics of failing simulations: how many of them failed in which way, with the first failure
//! of each: `cargo run -p rejoin-tests --example violations [PREFIX]`. It stops at the first
//! failure with that prefix.
//!
//! `REJOIN_SIMULATIONS` sets the number of simulations, `REJOIN_SIMULATION_SEED` the first seed.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::{collections::BTreeMap, env, panic};

use rejoin_tests::kit::{Parameters, failure_class, variable};
use rejoin_tests::simulation::run;

/// Default number of simulations.
const SIMULATIONS: u64 = 100;

fn main() {
    // A panic in a session is reported as the failure of its simulation.
    panic::set_hook(Box::new(|_| {}));
    let first = variable("REJOIN_SIMULATION_SEED").unwrap_or(0);
    let simulations = variable("REJOIN_SIMULATIONS").unwrap_or(SIMULATIONS);
    let prefix = env::args().nth(1);
    let mut failures: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut count = 0;
    for seed in first..first + simulations {
        count += 1;
        let Err(failure) = run(&Parameters::draw(seed)) else {
            continue;
        };
        let is_last = prefix.as_ref().is_some_and(|prefix| failure.message.starts_with(prefix));
        let (times, _) =
            failures.entry(failure_class(&failure.message)).or_insert((0, failure.message));
        *times += 1;
        if is_last {
            break;
        }
    }
    for (times, what) in failures.values() {
        println!("{times} of {count}: {what}");
    }
}
