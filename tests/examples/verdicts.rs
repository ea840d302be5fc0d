//! What do the checkers say? Runs worlds, and tells how many of them failed in which way,
//! with what was said in the first: `cargo run -p rejoin-tests --example verdicts [WORDS]`.
//! It stops at the first that says what is asked for.
//!
//! `REJOIN_WORLDS` says how many worlds, `REJOIN_WORLD_SEED` from which seed on.

#![expect(clippy::print_stdout, reason = "it prints what it finds")]

use std::{collections::BTreeMap, env, panic};

use rejoin_tests::world::{Knobs, run, way};

/// How many worlds there are, unless it is told otherwise.
const WORLDS: u64 = 100;

fn main() {
    // A panic in a session is told as what was wrong with its world.
    panic::set_hook(Box::new(|_| {}));
    let first = variable("REJOIN_WORLD_SEED").unwrap_or(0);
    let worlds = variable("REJOIN_WORLDS").unwrap_or(WORLDS);
    let asked = env::args().nth(1);
    let mut ways: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut count = 0;
    for seed in first..first + worlds {
        count += 1;
        let Err(failure) = run(&Knobs::draw(seed)) else {
            continue;
        };
        let is_last = asked.as_ref().is_some_and(|asked| failure.what.starts_with(asked));
        let (times, _) = ways.entry(way(&failure.what)).or_insert((0, failure.what));
        *times += 1;
        if is_last {
            break;
        }
    }
    for (times, what) in ways.values() {
        println!("{times} of {count}: {what}");
    }
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
