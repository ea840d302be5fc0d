//! Races: the shell under many thread schedules, with `cfg(shuttle)`.
//!
//! A scenario is a few threads that use the same session or manager. It is run under many
//! schedules, random ones and those of probabilistic concurrency testing: at every lock, atomic
//! and notification, the schedule selects the thread that continues. The code is that of the shell,
//! except `sync.rs` and `clock.rs`, which are replaced.
//!
//! A deadlock fails the test, so that lost wake-ups are found, too. Each scenario ends with
//! [`Fixture::end`](fixture::Fixture::end), which checks that nothing is leaked.

mod closing;
mod creations;
mod deadlines;
mod fixture;
mod handlers;
mod memory;
mod queue_permits;
mod requests;
mod senders;

use std::env;

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler},
};

/// Number of schedules of each kind for a scenario.
const SCHEDULES: usize = 3_000;

/// Number of priority changes in each schedule of the second kind (PCT's depth).
const CHANGES: usize = 3;

/// Runs a scenario under many schedules, or replays one that has failed.
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
