//! Knobs: how large a world is, what goes wrong in it, and within which limits.

use std::time::Duration;

use rejoin_core::{ConcurrentGet, Config, Priming, UnrelatedRouting};

use super::chance::Chance;
use super::faults::Faults;

/// How many requests of all clients of a world are accepted, at least.
pub const REQUESTS_MIN: usize = 200;
/// How many they make, some of which their clients let go of.
const REQUESTS: usize = 230;

/// All that a seed decides before anything happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Knobs {
    /// What all luck comes from.
    pub seed: u64,
    /// Which clients there are: all of them, unless a failure is minimized.
    pub clients: Vec<usize>,
    /// How many requests each of them makes.
    pub requests: usize,
    /// How many of them a client has in flight.
    pub at_once: usize,
    /// How long a client waits for an answer before it cancels.
    pub patience: Duration,
    /// How long a backend waits for an answer before it cancels.
    pub backend_patience: Duration,
    /// How long nothing is written before a sign of life is.
    pub keep_alive: Duration,
    /// How many bytes are between a writer and its reader.
    pub room: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// The limits of every session.
    pub config: Config,
    /// What the driver does wrong, for tests of the checkers.
    pub sabotage: Option<Sabotage>,
}

/// Something that a driver must not do, and that a check must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// It loses an event now and then.
    Loses,
    /// It sends one twice.
    Repeats,
    /// It sends one on another connection.
    Misroutes,
    /// It says nothing of gaps.
    HidesGaps,
    /// It forgets who is held up.
    Holds,
    /// It does not tell the session that a connection is gone.
    Leaks,
}

impl Knobs {
    /// Returns the knobs of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0, 0);
        let clients = chance.size(2, 7);
        let mut config = config(&mut chance);
        let mut luck = Chance::new(seed, 0, 1);
        if luck.strikes(350) {
            config.window_bytes_max = luck.size(0, 3_000);
        }
        Self {
            seed,
            clients: (0..clients).collect(),
            requests: REQUESTS.div_ceil(clients) + chance.size(0, 10),
            at_once: chance.size(1, 10),
            patience: chance.millis(5_000, 90_000),
            backend_patience: chance.millis(2_000, 30_000),
            keep_alive: chance.millis(1_000, 15_000),
            room: chance.size(1, 4_000),
            faults: Faults::draw(&mut chance),
            config,
            sabotage: None,
        }
    }

    /// Returns how long it may take from when nothing goes wrong any more until every
    /// request has settled.
    ///
    /// A server finds dead connections, and ends a session that was never entered; meanwhile
    /// a client that waits for what never comes cancels. Where there is little room for
    /// cancelled requests, it waits until they expire. A client that found a limit reached
    /// then makes its requests, one after the other, if need be.
    #[must_use]
    pub fn settle_bound(&self) -> Duration {
        let turns = u32::try_from(self.at_once).unwrap_or(u32::MAX);
        let entered = 2 * self.keep_alive + self.config.init_timeout.unwrap_or_default();
        let room =
            self.config.pending_requests_max.saturating_add(self.config.cancelled_requests_max);
        let expired = self.config.cancelled_timeout.filter(|_| room < 2 * self.requests);
        entered.max(self.patience + expired.unwrap_or_default()) + turns * TURN
    }

    /// Returns how long it may take from then on until a session holds nothing but its
    /// standalone stream.
    ///
    /// A server finds dead connections. Then the longest of what happens side by side: a
    /// session that was never entered ends; requests become orphans, and what is left of
    /// them is retained, buried and forgotten, or their ids are free again; backends say
    /// the rest of what they have to say, and take back what they have asked.
    #[must_use]
    pub fn baseline_bound(&self) -> Duration {
        let of = |timeout: Option<Duration>| timeout.unwrap_or_default();
        let config = &self.config;
        let forgotten = of(config.retention) + of(config.tombstone_timeout);
        let orphaned = of(config.orphan_timeout) + forgotten.max(of(config.cancelled_timeout));
        let withdrawn = TALK + self.backend_patience;
        let longest = of(config.init_timeout).max(orphaned).max(withdrawn);
        2 * self.keep_alive + longest + TURN
    }

    /// Returns how long it may take from then on until a session is closed: the last late
    /// answer of a backend begins the idle time anew.
    #[must_use]
    pub fn end_bound(&self) -> Duration {
        LATEST + self.config.idle_timeout.unwrap_or_default() + Duration::from_secs(1)
    }
}

/// How late a backend answers at most.
pub(super) const LATEST: Duration = Duration::from_secs(60);

/// How long a client needs for a request, if all goes well.
const TURN: Duration = Duration::from_secs(3);
/// How long a backend goes on to talk.
const TALK: Duration = Duration::from_secs(30);
fn config(chance: &mut Chance) -> Config {
    let policy = chance.below(3);
    let surplus = [ConcurrentGet::Shadow, ConcurrentGet::TakeOver, ConcurrentGet::Reject];
    let priming = [Priming::ByRevision, Priming::ByRevision, Priming::Always, Priming::Never];
    let mut config = Config {
        concurrent_get: chance.pick(&surplus).unwrap_or(ConcurrentGet::Shadow),
        priming: chance.pick(&priming).unwrap_or(Priming::ByRevision),
        unrelated_routing: if policy == 0 {
            UnrelatedRouting::SoleRequest
        } else {
            UnrelatedRouting::Standalone
        },
        retention: Some(chance.millis(0, 40_000)),
        tombstone_timeout: Some(chance.millis(1, 60_000)),
        cancelled_timeout: Some(chance.millis(1, 40_000)),
        init_timeout: Some(chance.millis(3_000, 20_000)),
        idle_timeout: Some(chance.millis(5_000, 120_000)),
        orphan_timeout: Some(chance.millis(500, 60_000)),
        delivery_timeout: Some(chance.millis(1, 10_000)),
        server_request_timeout: Some(chance.millis(5_000, 60_000)),
        reservation_timeout: Some(chance.millis(50, 5_000)),
        stall_timeout_min: chance.millis(1, 500),
        stall_timeout_max: Some(chance.millis(500, 3_000)),
        hold_timeout: (policy == 0).then(|| chance.millis(1, 1_000)),
        stall_disconnect_timeout: Some(chance.millis(3_001, 30_000)),
        ..Config::default()
    };
    if chance.strikes(400) {
        // Long enough to see what is left when nobody comes any more.
        config.idle_timeout = Some(Duration::from_secs(3_600));
    }
    if chance.strikes(300) {
        config.orphan_timeout = Some(chance.millis(100, 3_000));
    }
    if chance.strikes(300) {
        config.retention = Some(Duration::ZERO);
    }
    limit(&mut config, chance);
    config
}

/// Sets limits, many of which are tiny.
fn limit(config: &mut Config, chance: &mut Chance) {
    let mut tiny = |limit: &mut usize, least: u64, most: u64| {
        if chance.strikes(350) {
            *limit = usize::try_from(chance.between(least, most)).unwrap_or(*limit);
        }
    };
    let mut window = 16;
    tiny(&mut window, 1, 6);
    tiny(&mut config.streams_max, 1, 8);
    tiny(&mut config.pending_requests_max, 1, 8);
    tiny(&mut config.connections_max, 2, 10);
    tiny(&mut config.server_requests_max, 0, 4);
    tiny(&mut config.batch_max, 1, 4);
    tiny(&mut config.message_bytes_max, 400, 900);
    tiny(&mut config.shadows_max, 0, 3);
    tiny(&mut config.stream_events_max, 0, 16);
    tiny(&mut config.stream_bytes_max, 0, 3_000);
    tiny(&mut config.session_bytes_max, 0, 12_000);
    tiny(&mut config.retained_unacknowledged_max, 0, 8);
    tiny(&mut config.retained_acknowledged_max, 0, 8);
    tiny(&mut config.tombstones_max, 0, 8);
    tiny(&mut config.cancelled_requests_max, 0, 4);
    config.window_events_max = u32::try_from(window).unwrap_or(16);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_is_valid_and_large_enough() {
        for seed in 0..2_000 {
            let knobs = Knobs::draw(seed);
            assert!(knobs.config.clone().validate().is_ok(), "{knobs:?}");
            assert!(knobs.clients.len() * knobs.requests >= REQUESTS);
        }
    }
}
