//! The configuration and the start of a history.

use std::time::Duration;

use rejoin_core::{ConcurrentGet, Config, Instant, Priming, ProtocolVersion, UnrelatedRouting};

/// The number of bytes that encode a [`Setup`].
pub const SETUP_BYTES: usize = 32;

/// The configuration and the start of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The configuration of every session, always valid.
    pub config: Config,
    /// When the first session is created.
    pub epoch: Instant,
    /// Selects the version that the first session negotiates, and whether sessions replace earlier
    /// ones.
    pub version: u8,
}

impl Setup {
    /// Decodes a setup. Zeros make the default configuration.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SETUP_BYTES]) -> Self {
        let [scope, version, epoch, concurrent_get, priming, unrelated_routing, rest @ ..] = bytes;
        let mut selectors = rest.into_iter();
        let mut config = Config::default();
        config.concurrent_get = choose(
            concurrent_get,
            ConcurrentGet::Shadow,
            &[ConcurrentGet::TakeOver, ConcurrentGet::Reject],
        );
        config.priming = choose(
            priming,
            Priming::ByRevision,
            &[Priming::ByRevision, Priming::Always, Priming::Never],
        );
        config.unrelated_routing = choose(
            unrelated_routing,
            UnrelatedRouting::Standalone,
            &[UnrelatedRouting::SoleRequest],
        );
        config.activity_reports = unrelated_routing >= 128;
        config.commits = priming >= 128;
        match scope {
            0..=31 => {}
            32..=79 => set_limits(&mut config, &mut selectors),
            80..=127 => set_timeouts(&mut config, &mut selectors),
            128..=255 => {
                set_limits(&mut config, &mut selectors);
                set_timeouts(&mut config, &mut selectors);
            }
        }
        let epoch = match epoch {
            0..=127 => Instant::EPOCH,
            128..=247 => Instant::new(Duration::from_secs(1_800_000_000)),
            248..=255 => {
                Instant::new(Instant::MAX.since_epoch().saturating_sub(Duration::from_secs(3_600)))
            }
        };
        Self { config, epoch, version }
    }

    /// Returns the origin of the `nth` session, if it replaces an earlier one.
    #[must_use]
    pub fn origin(&self, nth: usize) -> Option<u64> {
        let nth = u64::try_from(nth).unwrap_or(0);
        (self.version >= 192).then(|| 3 + nth * 1_000)
    }

    /// Returns the protocol version in the backend's response to the `initialize` of the
    /// `nth` session.
    #[must_use]
    pub fn negotiated(&self, nth: usize) -> Option<ProtocolVersion> {
        let texts =
            ["2025-11-25", "2025-03-26", "2025-06-18", "2024-11-05", "2031-01-01", "latest"];
        let at = usize::from(self.version).wrapping_add(nth) % texts.len();
        texts.get(at).copied().and_then(ProtocolVersion::new)
    }
}

fn set_limits(config: &mut Config, selectors: &mut impl Iterator<Item = u8>) {
    let mut next = || selectors.next().unwrap_or_default();
    config.window_events_max = choose(next(), config.window_events_max, &[1, 2, 3, 4, 6, 8, 1]);
    let streams = next();
    config.streams_max = choose(streams, config.streams_max, &[1, 2, 3, 4, 6, 8, 16]);
    config.pending_requests_max =
        choose(streams >> 3, config.pending_requests_max, &[1, 2, 3, 4, 6, 8, 16]);
    config.connections_max = choose(next(), config.connections_max, &[1, 2, 3, 4, 6, 8, 16]);
    let few = next();
    config.server_requests_max = choose(few, config.server_requests_max, &[0, 1, 2, 4, 8, 16, 32]);
    config.batch_max = choose(few >> 3, config.batch_max, &[0, 1, 2, 3, 4, 64, 64]);
    let message = next();
    config.message_bytes_max =
        choose(message, config.message_bytes_max, &[0, 40, 200, 1_000, 1_000, 4 << 20, 4 << 20]);
    config.shadows_max = choose(message >> 3, config.shadows_max, &[0, 1, 2, 3, 4, 1, 2]);
    config.stream_events_max =
        choose(next(), config.stream_events_max, &[0, 1, 2, 3, 4, 6, 8, 12, 32]);
    config.stream_bytes_max =
        choose(next(), config.stream_bytes_max, &[0, 192, 250, 400, 800, 1_600, 4_000]);
    // Most of these have room for a few messages.
    config.session_bytes_max = choose(
        next(),
        config.session_bytes_max,
        &[0, 192, 400, 600, 800, 1_000, 1_000, 1_500, 2_000, 3_000, 6_000, 18_000],
    );
    let retained = next();
    config.retained_unacknowledged_max =
        choose(retained, config.retained_unacknowledged_max, &[0, 1, 2, 3, 4, 8, 16]);
    config.retained_acknowledged_max =
        choose(retained >> 3, config.retained_acknowledged_max, &[0, 1, 2, 3, 4, 8, 16]);
    let tombstones = next();
    config.tombstones_max = choose(tombstones, config.tombstones_max, &[0, 1, 2, 3, 4, 8, 16]);
    config.cancelled_requests_max =
        choose(tombstones >> 3, config.cancelled_requests_max, &[0, 1, 2, 3, 4, 8, 16]);
}

fn set_timeouts(config: &mut Config, selectors: &mut impl Iterator<Item = u8>) {
    let second = Duration::from_secs(1);
    let mut next = |default: Duration| match selectors.next().unwrap_or_default() {
        0..=63 => Some(default),
        64..=111 => None,
        112..=119 => Some(Duration::from_nanos(1)),
        few @ 120..=191 => Some(Duration::from_millis(u64::from(few))),
        more @ 192..=247 => Some(Duration::from_secs(u64::from(more))),
        248..=255 => Some(Duration::MAX),
    };
    config.retention = next(60 * second);
    if config.retention == Some(Duration::from_nanos(1)) {
        config.retention = Some(Duration::ZERO);
    }
    config.tombstone_timeout = next(600 * second);
    config.cancelled_timeout = next(60 * second);
    config.init_timeout = next(60 * second);
    config.idle_timeout = next(300 * second);
    config.orphan_timeout = next(600 * second);
    config.delivery_timeout = next(10 * second);
    config.server_request_timeout = next(60 * second);
    config.stall_timeout_min = next(second).unwrap_or(second).min(10 * second);
    let more = next(9 * second);
    config.stall_timeout_max = more.map(|more| more.saturating_add(config.stall_timeout_min));
    config.hold_timeout = next(second / 4);
    config.stall_disconnect_timeout = match (config.stall_timeout_max, next(60 * second)) {
        (Some(timeout), Some(limit)) => timeout.checked_add(limit),
        (_, limit) => limit,
    };
}

/// Returns the selected choice: the first one where the selector is zero.
fn choose<T: Copy>(selector: u8, first: T, others: &[T]) -> T {
    match usize::from(selector) % (others.len() + 1) {
        0 => first,
        nth => others.get(nth - 1).copied().unwrap_or(first),
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate;

    #[test]
    fn every_setup_is_valid() {
        for seed in 0..10_000 {
            let (setup, _) = generate(seed, 0);
            assert!(setup.config.clone().validate().is_ok(), "{setup:?}");
        }
    }
}
