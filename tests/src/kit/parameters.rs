//! The parameters of a simulation: its size, fault rates and limits.

use std::time::Duration;

use rejoin_core::{ConcurrentGet, Config, Priming, UnrelatedRouting};

use super::{DeliberateBug, Faults, Rng};

/// Minimum number of accepted requests in a simulation, over all clients.
pub const ACCEPTED_REQUESTS_MIN: usize = 200;
/// The maximum duration of the phase with faults, in virtual time.
pub const FAULT_PHASE_MAX: Duration = Duration::from_secs(48 * 3_600);
/// How many requests are made, some of which are cancelled before they are accepted.
const REQUESTS: usize = 230;

/// The parameters that are drawn from a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// The seed of all randomness.
    pub seed: u64,
    /// The clients: all of them, unless a failure is being minimized.
    pub clients: Vec<usize>,
    /// Number of requests per client.
    pub requests: usize,
    /// Maximum number of pending requests per client.
    pub pending_max: usize,
    /// How long a client waits for a response before it cancels.
    pub request_timeout: Duration,
    /// How long a backend waits for a response before it cancels.
    pub server_request_timeout: Duration,
    /// The interval of keep-alive comments on an idle stream.
    pub keep_alive: Duration,
    /// Size of the buffers between a writer and its reader, in bytes.
    pub pipe_bytes: usize,
    /// The rates of the faults.
    pub faults: Faults,
    /// The config of every session.
    pub config: Config,
    /// A deliberate bug, to test the checkers.
    pub bug: Option<DeliberateBug>,
}

impl AsRef<Self> for Parameters {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsMut<Self> for Parameters {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl Parameters {
    /// Draws the parameters of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 0, 0);
        let clients = rng.size(2, 7);
        let mut config = config(&mut rng);
        let mut room_rng = Rng::new(seed, 0, 1);
        if room_rng.chance(350) {
            // Room for a few messages.
            config.session_bytes_max = room_rng.size(0, 3_000);
        }
        config.activity_reports = room_rng.chance(500);
        config.commits = room_rng.chance(400);
        Self {
            seed,
            clients: (0..clients).collect(),
            requests: REQUESTS.div_ceil(clients) + rng.size(0, 10),
            pending_max: rng.size(1, 10),
            request_timeout: rng.millis(5_000, 90_000),
            server_request_timeout: rng.millis(2_000, 30_000),
            keep_alive: rng.millis(1_000, 15_000),
            pipe_bytes: rng.size(1, 4_000),
            faults: Faults::draw(&mut rng),
            config,
            bug: None,
        }
    }

    /// Returns an upper bound of the time from the end of the faults until all requests have
    /// settled.
    ///
    /// In that time a server finds dead connections, and closes a session that was never
    /// initialized, while clients cancel requests that have timed out. Where the limit of
    /// cancelled requests is low, clients wait until those expire. A client that has reached a
    /// limit then makes its requests one after the other.
    #[must_use]
    pub fn settle_bound(&self) -> Duration {
        let in_turn = u32::try_from(self.pending_max).unwrap_or(u32::MAX);
        let initialized = 2 * self.keep_alive + self.config.init_timeout.unwrap_or_default();
        let limit =
            self.config.pending_requests_max.saturating_add(self.config.cancelled_requests_max);
        let expired = self.config.cancelled_timeout.filter(|_| limit < 2 * self.requests);
        initialized.max(self.request_timeout + expired.unwrap_or_default()) + in_turn * REQUEST_TIME
    }

    /// Returns an upper bound of the time from then until a session holds only its standalone
    /// stream.
    ///
    /// In that time a server finds dead connections. Then the longest of these, which run in
    /// parallel: an uninitialized session is closed; requests are orphaned, their streams
    /// retained, expired and removed, or their ids freed; backends send their remaining
    /// messages and cancel their requests.
    #[must_use]
    pub fn quiescence_bound(&self) -> Duration {
        let of = |timeout: Option<Duration>| timeout.unwrap_or_default();
        let config = &self.config;
        let removed = of(config.retention) + of(config.tombstone_timeout);
        let orphaned = of(config.orphan_timeout) + removed.max(of(config.cancelled_timeout));
        let cancelled = UNRELATED_MESSAGES_TIME + self.server_request_timeout;
        let longest = of(config.init_timeout).max(orphaned).max(cancelled);
        2 * self.keep_alive + longest + REQUEST_TIME
    }

    /// Returns an upper bound of the time from then until a session is closed: the last late
    /// response resets the idle timer.
    #[must_use]
    pub fn end_bound(&self) -> Duration {
        RESPONSE_DELAY_MAX + self.config.idle_timeout.unwrap_or_default() + Duration::from_secs(1)
    }
}

/// The maximum delay of a response.
pub(super) const RESPONSE_DELAY_MAX: Duration = Duration::from_secs(60);

/// How long a request takes without faults.
const REQUEST_TIME: Duration = Duration::from_secs(3);
/// How long a backend goes on to send unrelated messages.
const UNRELATED_MESSAGES_TIME: Duration = Duration::from_secs(30);
fn config(rng: &mut Rng) -> Config {
    let policy = rng.below(3);
    let policies = [ConcurrentGet::Shadow, ConcurrentGet::TakeOver, ConcurrentGet::Reject];
    let priming = [Priming::ByRevision, Priming::ByRevision, Priming::Always, Priming::Never];
    let mut config = Config::default();
    config.concurrent_get = rng.choose(&policies).unwrap_or(ConcurrentGet::Shadow);
    config.priming = rng.choose(&priming).unwrap_or(Priming::ByRevision);
    config.unrelated_routing =
        if policy == 0 { UnrelatedRouting::SoleRequest } else { UnrelatedRouting::Standalone };
    config.retention = Some(rng.millis(0, 40_000));
    config.tombstone_timeout = Some(rng.millis(1, 60_000));
    config.cancelled_timeout = Some(rng.millis(1, 40_000));
    config.init_timeout = Some(rng.millis(3_000, 20_000));
    config.idle_timeout = Some(rng.millis(5_000, 120_000));
    config.orphan_timeout = Some(rng.millis(500, 60_000));
    config.delivery_timeout = Some(rng.millis(1, 10_000));
    config.server_request_timeout = Some(rng.millis(5_000, 60_000));
    config.stall_timeout_min = rng.millis(1, 500);
    config.stall_timeout_max = Some(rng.millis(500, 3_000));
    config.hold_timeout = (policy == 0).then(|| rng.millis(1, 1_000));
    config.stall_disconnect_timeout = Some(rng.millis(3_001, 30_000));
    if rng.chance(400) {
        // Long enough for everything else to expire first.
        config.idle_timeout = Some(Duration::from_secs(3_600));
    }
    if rng.chance(300) {
        config.orphan_timeout = Some(rng.millis(100, 3_000));
    }
    if rng.chance(300) {
        config.retention = Some(Duration::ZERO);
    }
    limit(&mut config, rng);
    config
}

/// Sets limits, many of which are tiny.
fn limit(config: &mut Config, rng: &mut Rng) {
    let mut tiny = |limit: &mut usize, least: u64, most: u64| {
        if rng.chance(350) {
            *limit = usize::try_from(rng.between(least, most)).unwrap_or(*limit);
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
    fn drawn_parameters_are_valid_and_large_enough() {
        for seed in 0..2_000 {
            let parameters = Parameters::draw(seed);
            assert!(parameters.config.clone().validate().is_ok(), "{parameters:?}");
            assert!(parameters.clients.len() * parameters.requests >= REQUESTS);
        }
    }
}
