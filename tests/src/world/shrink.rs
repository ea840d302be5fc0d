//! Shrinking: a smaller world that still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoin_core::{Config, Input, Instant, ValidConfig};

use super::failure::Tape;
use super::server::{play, valid};
use super::{Failure, Knobs, run};

/// How many requests a client makes in a small world.
const FEWER: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Returns a failure in as small a world as leaving out clients, requests, faults and
/// limits makes it, and as few inputs as break a law alike.
#[must_use]
pub fn shrink(failure: Box<Failure>) -> Box<Failure> {
    let mut found = failure;
    for client in found.knobs.clients.clone() {
        try_with(&mut found, |knobs| knobs.clients.retain(|other| *other == client));
    }
    for client in found.knobs.clients.clone() {
        try_with(&mut found, |knobs| knobs.clients.retain(|other| *other != client));
    }
    let most = found.knobs.requests;
    for fewer in FEWER.into_iter().filter(|fewer| *fewer < most) {
        if try_with(&mut found, |knobs| knobs.requests = fewer) {
            break;
        }
    }
    for fault in found.knobs.faults.present() {
        try_with(&mut found, |knobs| knobs.faults.remove(fault));
    }
    try_with(&mut found, |knobs| knobs.at_once = 1);
    try_with(&mut found, |knobs| knobs.config = unlimited(&knobs.config));
    if let Ok(config) = valid(&found.knobs.config) {
        found.least = fewest(&config, &found.tape);
    }
    found
}

/// Changes a world, if it still fails then.
fn try_with(found: &mut Box<Failure>, change: impl FnOnce(&mut Knobs)) -> bool {
    let mut knobs = found.knobs.clone();
    change(&mut knobs);
    if knobs == found.knobs || knobs.clients.is_empty() {
        return false;
    }
    match run(&knobs) {
        Ok(_) => false,
        Err(failure) => {
            *found = failure;
            true
        }
    }
}

/// Returns a configuration with the same timeouts and policies, and no tiny limits.
fn unlimited(config: &Config) -> Config {
    Config {
        surplus: config.surplus,
        priming: config.priming,
        unrelated: config.unrelated,
        retention: config.retention,
        tombstone_timeout: config.tombstone_timeout,
        cancelled_timeout: config.cancelled_timeout,
        init_timeout: config.init_timeout,
        idle_timeout: config.idle_timeout,
        orphan_timeout: config.orphan_timeout,
        listen_timeout: config.listen_timeout,
        reservation_timeout: config.reservation_timeout,
        stall_timeout: config.stall_timeout,
        stall_limit: config.stall_limit,
        ..Config::default()
    }
}

/// Returns as few inputs as break a law, by leaving out pieces. `None` if all of them
/// break none.
fn fewest(config: &ValidConfig, tape: &Tape) -> Option<(Tape, String)> {
    let breaks = |tape: &[(Instant, Input<u64>)]| {
        let played = catch_unwind(AssertUnwindSafe(|| play(config, tape)));
        played.unwrap_or_else(|_| Err("a panic".to_owned())).err()
    };
    let mut broken = breaks(tape)?;
    let mut kept = tape.clone();
    let mut size = kept.len() / 2;
    while size > 0 {
        let mut at = kept.len();
        while at > 0 {
            at = at.saturating_sub(size);
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if let Some(found) = breaks(&fewer) {
                kept = fewer;
                broken = found;
                at = at.min(kept.len());
            }
        }
        size /= 2;
    }
    Some((kept, broken))
}
