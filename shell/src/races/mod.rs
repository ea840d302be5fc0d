//! Races: the shell under many schedules, with `cfg(shuttle)`.
//!
//! A scenario is a few threads that want something of the same session or manager. It is
//! run under one schedule after the other, at random and by probabilistic concurrency
//! testing: at every lock, atomic and notification the schedule says who goes on. What is
//! run is the shell itself; `sync.rs` and `clock.rs` alone have others in their place.
//!
//! Who waits for what never comes is deadlocked, which fails: so a wake-up that is lost is
//! found, too. Each scenario ends with [`Fixture::end`](fixture::Fixture::end), which looks at
//! what is left behind.

mod closing;
mod creations;
mod deadlines;
mod fixture;
mod handlers;
mod queue_permits;
mod requests;
mod senders;

use std::env;

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler},
};

/// How many schedules of each kind a scenario is run under.
const SCHEDULES: usize = 3_000;

/// How often the schedules of the second kind change their mind against their priorities.
const CHANGES: usize = 3;

/// Runs a scenario under many schedules, or again under one that has failed.
fn race(scenario: fn()) {
    let mut config = Config::default();
    config.silence_warnings = true;
    if let Ok(schedule) = env::var("REJOIN_RACE_SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(scenario);
        return;
    }
    let number = |name, default| env::var(name).map_or(default, |value| value.parse().unwrap());
    let schedules = number("REJOIN_RACES", SCHEDULES);
    let seed = number("REJOIN_RACE_SEED", 0) as u64;
    let random = RandomScheduler::new_from_seed(seed, schedules);
    assert_eq!(Runner::new(random, config.clone()).run(scenario), schedules);
    let pct = PctScheduler::new_from_seed(seed, CHANGES, schedules);
    assert_eq!(Runner::new(pct, config).run(scenario), schedules);
}
