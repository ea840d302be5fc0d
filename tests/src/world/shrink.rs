//! Shrinking: a smaller world that still fails.

use rejoin_core::{Config, Input, Instant};

use super::{Failure, Knobs, run};
use crate::journal::Journal;

/// How many requests a client makes in a small world.
const FEWER: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Returns a failure in as small a world as leaving out clients, requests, faults and
/// limits makes it, and as little of a journal as breaks a law.
#[must_use]
pub fn shrink(failure: Box<Failure>) -> Box<Failure> {
    let knobs = failure.knobs.clone();
    let known = way(&failure.what);
    let fails = |knobs: &Knobs| run(knobs).err().filter(|failure| way(&failure.what) == known);
    let (_, mut found) = smaller(knobs, failure, fails);
    found.least = least(&found.journal);
    found
}

/// Returns what fails in as small a world as leaving out clients, requests, faults and
/// limits makes it, where `fails` says what fails in a world, in
/// the same way.
pub fn smaller<F>(
    knobs: Knobs,
    failure: F,
    mut fails: impl FnMut(&Knobs) -> Option<F>,
) -> (Knobs, F) {
    let mut found = (knobs, failure);
    let mut try_with = |found: &mut (Knobs, F), change: &dyn Fn(&mut Knobs)| {
        let mut knobs = found.0.clone();
        change(&mut knobs);
        if knobs == found.0 || knobs.clients.is_empty() {
            return false;
        }
        let Some(failure) = fails(&knobs) else {
            return false;
        };
        *found = (knobs, failure);
        true
    };
    for client in found.0.clients.clone() {
        try_with(&mut found, &|knobs| knobs.clients.retain(|other| *other == client));
    }
    for client in found.0.clients.clone() {
        try_with(&mut found, &|knobs| knobs.clients.retain(|other| *other != client));
    }
    let most = found.0.requests;
    for fewer in FEWER.into_iter().filter(|fewer| *fewer < most) {
        if try_with(&mut found, &|knobs| knobs.requests = fewer) {
            break;
        }
    }
    for fault in found.0.faults.present() {
        try_with(&mut found, &|knobs| knobs.faults.remove(fault));
    }
    try_with(&mut found, &|knobs| knobs.at_once = 1);
    try_with(&mut found, &|knobs| knobs.config = unlimited(&knobs.config));
    found
}

/// Returns in which way a world fails, given what was wrong: what is said first, without
/// numbers but that of a law.
#[must_use]
pub fn way(what: &str) -> String {
    let first = what.split(':').next().unwrap_or(what);
    first.chars().filter(|it| !it.is_ascii_digit() || what.starts_with("law")).collect()
}

/// Returns a configuration with the same timeouts and policies, and no tiny limits.
#[must_use]
pub fn unlimited(config: &Config) -> Config {
    Config {
        concurrent_get: config.concurrent_get,
        priming: config.priming,
        unrelated_routing: config.unrelated_routing,
        retention: config.retention,
        tombstone_timeout: config.tombstone_timeout,
        cancelled_timeout: config.cancelled_timeout,
        init_timeout: config.init_timeout,
        idle_timeout: config.idle_timeout,
        orphan_timeout: config.orphan_timeout,
        delivery_timeout: config.delivery_timeout,
        server_request_timeout: config.server_request_timeout,
        reservation_timeout: config.reservation_timeout,
        stall_timeout_min: config.stall_timeout_min,
        stall_timeout_max: config.stall_timeout_max,
        hold_timeout: config.hold_timeout,
        stall_disconnect_timeout: config.stall_disconnect_timeout,
        ..Config::default()
    }
}

/// Returns as little of a journal as breaks a law. `None` if all of it breaks none.
fn least(journal: &Journal) -> Option<(Journal, String)> {
    let journal_of = |inputs: &[(Instant, Input<()>)]| {
        let Journal { config, started_at: began, .. } = journal;
        Journal { config: config.clone(), started_at: *began, inputs: inputs.to_vec() }
    };
    let breaks =
        |inputs: &[(Instant, Input<()>)]| journal_of(inputs).check().err().map(|(_, wrong)| wrong);
    let (inputs, wrong) = reduce(&journal.inputs, breaks)?;
    Some((journal_of(&inputs), wrong))
}

/// Returns as few items as are wrong, by leaving out ever smaller pieces, and what is
/// wrong with them. `None` if nothing is wrong with all of them.
fn reduce<T: Clone, E>(items: &[T], wrong: impl Fn(&[T]) -> Option<E>) -> Option<(Vec<T>, E)> {
    let mut found = wrong(items)?;
    let mut kept = items.to_vec();
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut at = kept.len();
        while at > 0 {
            at = at.saturating_sub(size);
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if let Some(still) = wrong(&fewer) {
                kept = fewer;
                found = still;
                at = at.min(kept.len());
            }
        }
        size /= 2;
    }
    Some((kept, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_to_fail_has_no_numbers_but_that_of_the_law() {
        assert_eq!(way("request 17 was answered twice"), way("request 8 was answered twice"));
        assert_ne!(way("law 4 (in order): 5 comes again"), way("law 6 (in order): lost"));
        assert_eq!(way("law 4 (in order): 5 comes again"), way("law 4 (in order): lost"));
        assert_ne!(way("panicked: no key 5"), way("a request was refused"));
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let items: Vec<u32> = (0..1_000).collect();
        let wrong = |items: &[u32]| (items.contains(&7) && items.contains(&900)).then_some(());
        assert_eq!(reduce(&items, wrong), Some((vec![7, 900], ())));
        assert_eq!(reduce(&items, |_| None::<()>), None);
    }
}
