//! Many simulations of a cluster: nodes that share a store of sessions, with faults.

use std::collections::BTreeSet;

use rejoin_tests::cluster::{Bug, ClusterParameters, expected_counters, run, shrink};
use rejoin_tests::kit::{Coverage, Suite};

const SUITE: Suite = Suite {
    simulations: 500,
    simulations_variable: "REJOIN_CLUSTER_SIMULATIONS",
    seed_variable: "REJOIN_CLUSTER_SEED",
    threads: 2,
    command: "cargo test -p rejoin-tests --test cluster clusters_obey_the_laws",
};

#[test]
fn clusters_obey_the_laws() {
    SUITE
        .run(run_seed, |coverage| coverage.never_hit(&expected_counters()))
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn run_seed(seed: u64) -> Result<Coverage, String> {
    run(&ClusterParameters::draw(seed)).map_err(|failure| shrink(failure).to_string())
}

#[test]
fn simulations_are_deterministic() {
    for seed in 0..5 {
        let outcome = || run(&ClusterParameters::draw(seed)).map(|coverage| coverage.to_string());
        assert_eq!(outcome().unwrap(), outcome().unwrap());
    }
}

/// Some take a rare order of faults.
#[test]
fn every_law_catches_a_deliberate_bug() {
    for (bug, law, faults) in Bug::ALL {
        let mut others = BTreeSet::new();
        let is_caught = (0..400).any(|seed| {
            let message = run(&ClusterParameters::with_bug(seed, bug, faults)).err();
            let is_caught = message.as_ref().is_some_and(|it| it.message.starts_with(law));
            others.extend(message.map(|failure| failure.message));
            is_caught
        });
        assert!(is_caught, "{bug:?} is not caught by {law}: {others:#?}");
    }
    let laws: BTreeSet<&str> = Bug::ALL.into_iter().map(|(_, law, _)| law).collect();
    for number in 1..=11 {
        assert!(laws.contains(format!("law C{number} ").as_str()), "{number}");
    }
}

#[test]
fn failures_are_minimized_and_name_their_seed() {
    let parameters = ClusterParameters::draw(3);
    let parameters = ClusterParameters { bug: Some(Bug::SendsBeforeCommit), ..parameters };
    let small = shrink(run(&parameters).unwrap_err());
    assert_eq!(small.parameters.clients.len(), 1);
    assert_eq!(small.parameters.nodes, 2);
    assert_eq!(small.parameters.requests, 1);
    assert_eq!(small.parameters.faults.present(), []);
    assert!(small.to_string().contains("seed 3: law C1 (committed before sent): "), "{small}");
    assert!(!small.trace.is_empty());
}
