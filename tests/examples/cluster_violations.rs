//! Statistics of failing simulations of a cluster: how many of them failed in which way, and the
//! first seeds of each way: `cargo run -p rejoin-tests --example cluster_violations`.
//!
//! `REJOIN_CLUSTER_SIMULATIONS` sets the number of simulations, `REJOIN_CLUSTER_SEED` the first seed.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::{collections::BTreeMap, panic};

use rejoin_tests::cluster::{ClusterParameters, run};
use rejoin_tests::kit::{failure_class, variable};

/// Default number of simulations.
const SIMULATIONS: u64 = 100;

/// How many seeds are printed for each way to fail.
const SEEDS: usize = 8;

fn main() {
    // A panic in a session is reported as the failure of its simulation.
    panic::set_hook(Box::new(|_| {}));
    let first = variable("REJOIN_CLUSTER_SEED").unwrap_or(0);
    let count = variable("REJOIN_CLUSTER_SIMULATIONS").unwrap_or(SIMULATIONS);
    let mut failures: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in first..first + count {
        if let Err(failure) = run(&ClusterParameters::draw(seed)) {
            failures.entry(failure_class(&failure.message)).or_default().push(seed);
        }
    }
    for (class, seeds) in &failures {
        let first = seeds.get(..SEEDS).unwrap_or(seeds);
        println!("{:>5}  {class}: {first:?}", seeds.len());
    }
    println!("{} of {count} failed", failures.values().map(Vec::len).sum::<usize>());
}
