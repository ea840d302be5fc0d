//! The parameters of a simulated cluster.

use std::time::Duration;

use rejoin_core::Config;

use super::faults::{Bug, ClusterFault, ClusterFaults};
use crate::kit::Rng;

/// What becomes of a session whose node has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It goes on without a backend, until nothing is left that its client can get.
    End,
    /// It gets another backend.
    Reopen,
}

/// How the balancer chooses nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// One after the other.
    RoundRobin,
    /// At random.
    Random,
    /// The same for a client, as long as it works.
    Sticky,
}

/// The parameters that are drawn from a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterParameters {
    /// The seed of all randomness.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: usize,
    /// The clients: all of them, unless a failure is being minimized.
    pub clients: Vec<usize>,
    /// Number of requests per client.
    pub requests: usize,
    /// Maximum number of pending requests per client.
    pub pending_max: usize,
    /// The largest message of a backend, in bytes.
    pub message_bytes: usize,
    /// What becomes of a session whose node has died.
    pub takeover: Takeover,
    /// How the balancer chooses nodes.
    pub balancing: Balancing,
    /// How much a clock gains or loses, in millionths.
    pub drift: i32,
    /// How far the replica of the store is behind, in milliseconds.
    pub lag: u64,
    /// The rates of the faults.
    pub faults: ClusterFaults,
    /// The config of every session.
    pub config: Config,
    /// A deliberate bug, to test the laws.
    pub bug: Option<Bug>,
}

impl ClusterParameters {
    /// Draws the parameters of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 40, 0);
        let clients = rng.size(1, 4);
        let is_large = rng.chance(150);
        let balancing = [Balancing::RoundRobin, Balancing::Random, Balancing::Sticky];
        Self {
            seed,
            nodes: rng.size(2, 5),
            clients: (0..clients).collect(),
            requests: rng.size(8, 40),
            pending_max: rng.size(1, 6),
            message_bytes: if is_large { 1_000_000 } else { 300 },
            takeover: if rng.chance(500) { Takeover::End } else { Takeover::Reopen },
            balancing: rng.choose(&balancing).unwrap_or(Balancing::RoundRobin),
            drift: i32::try_from(rng.below(20_000)).unwrap_or(0) - 10_000,
            lag: rng.between(1, 1_500),
            faults: ClusterFaults::draw(&mut rng),
            config: config(&mut rng, is_large),
            bug: None,
        }
    }

    /// Returns parameters with a deliberate bug, and only the faults that it takes, at their highest
    /// rates.
    #[must_use]
    pub fn with_bug(seed: u64, bug: Bug, faults: &[ClusterFault]) -> Self {
        let drawn = Self::draw(seed);
        Self {
            requests: if faults.is_empty() { 40 } else { 120 },
            lag: 1_500,
            takeover: if bug == Bug::KeepsPending { Takeover::End } else { Takeover::Reopen },
            message_bytes: if bug == Bug::NeverTrims { 200_000 } else { drawn.message_bytes },
            faults: ClusterFaults::only(faults),
            bug: Some(bug),
            ..drawn
        }
    }
}

fn config(rng: &mut Rng, is_large: bool) -> Config {
    let mut config = Config::default();
    config.commits = true;
    config.retention = Some(Duration::from_secs(300));
    config.tombstone_timeout = Some(Duration::from_secs(300));
    config.orphan_timeout = Some(Duration::from_secs(300));
    config.delivery_timeout = Some(rng.millis(1_000, 60_000));
    config.idle_timeout = Some(rng.millis(60_000, 300_000));
    config.init_timeout = Some(Duration::from_secs(30));
    if is_large {
        config.stream_bytes_max = 8 << 20;
        config.session_bytes_max = 16 << 20;
    }
    if rng.chance(200) {
        // Some events are evicted.
        config.stream_events_max = rng.size(1, 8);
    }
    if rng.chance(200) {
        config.window_events_max = u32::try_from(rng.between(1, 4)).unwrap_or(1);
    }
    config
}
