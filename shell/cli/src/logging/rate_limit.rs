//! Rate limits of log lines, so that a peer cannot flood the log. Each source has a token bucket.
//! Lines beyond it are counted and reported instead of written.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rejoin::PeerAddress;
use tokio::time::Instant;
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::queue::Queue;

/// A burst of lines, and a number of lines per second after it.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// Limit per callsite and source, that is session or client address.
const LINES: Rate = Rate { burst: 20.0, per_second: 2.0 };
/// Limit for the stderr of one child process.
const STDERR: Rate = Rate { burst: 500.0, per_second: 50.0 };
/// Limit per callsite, over all sources.
const CALLSITE: Rate = Rate { burst: 5_000.0, per_second: 500.0 };

/// Target of lines that child processes write to stderr.
const STDERR_TARGET: &str = "rejoin::stderr";

/// Maximum number of buckets of sources. Further sources are limited by the bucket of their
/// callsite only.
const SOURCES_MAX: usize = 4_096;

/// Minimum time between two sweeps of full buckets at the maximum number of sources.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of sources per report.
const REPORTED_MAX: usize = 16;

/// Maximum length of the example in a report, in bytes.
const EXAMPLE_MAX: usize = 80;

/// A layer that suppresses excess lines of level `info` and above. Clones share the buckets.
#[derive(Clone, Debug)]
pub(super) struct RateLimits {
    buckets: Arc<Mutex<Buckets>>,
    queue: Queue,
}

#[derive(Debug, Default)]
struct Buckets {
    /// One bucket per callsite.
    callsites: HashMap<Identifier, Bucket>,
    /// One bucket per callsite and source. At most [`SOURCES_MAX`].
    sources: HashMap<(Identifier, String), Bucket>,
    swept_at: Option<Instant>,
    has_suppressed: bool,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    refilled_at: Instant,
    suppressed: u64,
    /// The message of the first suppressed line, truncated.
    example: String,
}

impl RateLimits {
    pub(super) fn new(queue: Queue) -> Self {
        Self { buckets: Arc::default(), queue }
    }

    /// Logs how many lines were suppressed since the last report.
    pub(super) fn report(&self) {
        let (suppressed, has_more) = self.buckets.lock().take_suppressed();
        for (source, lines, example) in suppressed {
            tracing::warn!(
                target: super::TARGET,
                lines,
                source,
                ?example,
                "log lines suppressed: rate limit exceeded",
            );
        }
        if has_more {
            self.queue.report_suppressed();
        }
    }
}

impl<S: Subscriber> Layer<S> for RateLimits {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == super::TARGET {
            return true;
        }
        let rate = if metadata.target() == STDERR_TARGET { STDERR } else { LINES };
        let mut source = Source::default();
        event.record(&mut source);
        let (now, callsite) = (Instant::now(), metadata.callsite());
        let mut buckets = self.buckets.lock();
        let is_allowed = buckets.take_from_source((callsite.clone(), source.0), rate, event, now)
            && buckets.take_from_callsite(callsite, event, now);
        let is_first = !is_allowed && !std::mem::replace(&mut buckets.has_suppressed, true);
        drop(buckets);
        if is_first {
            self.queue.report_suppressed();
        }
        is_allowed
    }
}

impl Buckets {
    /// Takes a token of the callsite. Returns whether there was one.
    fn take_from_callsite(
        &mut self,
        callsite: Identifier,
        event: &Event<'_>,
        now: Instant,
    ) -> bool {
        self.callsites
            .entry(callsite)
            .or_insert_with(|| Bucket::full(CALLSITE, now))
            .take_for(event, now)
    }

    /// Takes a token of the source. Returns whether there was one, or the source has no bucket.
    fn take_from_source(
        &mut self,
        key: (Identifier, String),
        rate: Rate,
        event: &Event<'_>,
        now: Instant,
    ) -> bool {
        if !self.sources.contains_key(&key) && !self.can_add_source(now) {
            return true;
        }
        self.sources.entry(key).or_insert_with(|| Bucket::full(rate, now)).take_for(event, now)
    }

    /// Returns whether a bucket can be added, after a sweep if necessary.
    fn can_add_source(&mut self, now: Instant) -> bool {
        let is_swept = self.swept_at.is_some_and(|at| now < at + SWEEP_INTERVAL);
        if self.sources.len() >= SOURCES_MAX && !is_swept {
            self.swept_at = Some(now);
            self.sources.retain(|_, bucket| bucket.is_needed(now));
        }
        self.sources.len() < SOURCES_MAX
    }

    /// Returns source, count and example of suppressed lines, and whether there are more.
    fn take_suppressed(&mut self) -> (Vec<(String, u64, String)>, bool) {
        let callsites = self.callsites.values_mut().map(|bucket| ("all", bucket));
        let sources =
            self.sources.iter_mut().map(|((_, source), bucket)| (source.as_str(), bucket));
        let mut suppressed = callsites.chain(sources).filter(|(_, bucket)| bucket.suppressed > 0);
        let reported = suppressed.by_ref().take(REPORTED_MAX).map(|(source, bucket)| {
            let lines = std::mem::take(&mut bucket.suppressed);
            (source.to_owned(), lines, std::mem::take(&mut bucket.example))
        });
        let reported = reported.collect();
        self.has_suppressed = suppressed.next().is_some();
        (reported, self.has_suppressed)
    }
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        let example = String::new();
        Self { rate, tokens: rate.burst, refilled_at: now, suppressed: 0, example }
    }

    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.refilled_at).as_secs_f64();
        self.tokens = seconds.mul_add(self.rate.per_second, self.tokens).min(self.rate.burst);
        self.refilled_at = now;
    }

    fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }

    /// Takes a token for a line, or counts the line as suppressed.
    fn take_for(&mut self, event: &Event<'_>, now: Instant) -> bool {
        if self.take(now) {
            return true;
        }
        if self.suppressed == 0 {
            let mut example = Example::default();
            event.record(&mut example);
            self.example = example.0;
        }
        self.suppressed += 1;
        false
    }

    /// Returns whether the bucket differs from a new one.
    fn is_needed(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.suppressed > 0 || self.tokens < self.rate.burst
    }
}

/// The source of a line: its session, or the network of its peer.
#[derive(Default)]
struct Source(String);

impl Visit for Source {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // Writing to a string does not fail.
            "session" => drop(write!(self.0, "{value:?}")),
            "peer" => {
                let peer = format!("{value:?}");
                match peer.parse().map(|peer: SocketAddr| PeerAddress(peer).network()) {
                    Ok(network) => drop(write!(self.0, "{network}")),
                    Err(_) => self.0.push_str(&peer),
                }
            }
            _ => {}
        }
    }
}

/// The truncated message of a line.
#[derive(Default)]
struct Example(String);

impl Visit for Example {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
            self.0.truncate(self.0.floor_char_boundary(EXAMPLE_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, ops::Range};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Logs one line for each of these sessions, from one callsite.
    fn log_lines_of(sources: Range<usize>) {
        for source in sources {
            tracing::info!(session = source, "line");
        }
    }

    #[test]
    fn sources_without_a_bucket_share_the_bucket_of_their_callsite() {
        let limits = RateLimits::new(Queue::default());
        let subscriber = tracing_subscriber::registry().with(limits.clone());
        tracing::subscriber::with_default(subscriber, || log_lines_of(0..SOURCES_MAX + 10_000));
        let mut buckets = limits.buckets.lock();
        assert!(buckets.sources.len() <= SOURCES_MAX);
        let (suppressed, _) = buckets.take_suppressed();
        assert!(suppressed.iter().any(|(source, ..)| source == "all"), "{suppressed:?}");
    }

    #[test]
    fn ports_and_ipv6_64_networks_count_as_one_peer() {
        let limits = RateLimits::new(Queue::default());
        let subscriber = tracing_subscriber::registry().with(limits.clone());
        tracing::subscriber::with_default(subscriber, || {
            for peer in [
                "192.0.2.1:1",
                "192.0.2.1:2",
                "[::ffff:192.0.2.1]:3",
                "[2001:db8::1]:1",
                "[2001:db8::ffff:1]:2",
                "[2001:db8:0:1::1]:1",
            ] {
                tracing::info!(peer = %peer.parse::<SocketAddr>().unwrap(), "line");
            }
        });
        let buckets = limits.buckets.lock();
        let sources: BTreeSet<_> =
            buckets.sources.keys().map(|(_, source)| source.as_str()).collect();
        assert_eq!(sources, BTreeSet::from(["192.0.2.1", "2001:db8::", "2001:db8:0:1::"]));
    }

    #[test]
    fn a_bucket_allows_a_burst_then_a_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(LINES, start);
        let mut allowed = |at: Duration| (0..100).filter(|_| bucket.take(start + at)).count();
        assert_eq!(allowed(Duration::ZERO), 20);
        assert_eq!(allowed(Duration::from_secs(3)), 6);
        assert_eq!(allowed(Duration::from_secs(1_000)), 20);
        assert!(bucket.is_needed(start + Duration::from_secs(1_000)));
        assert!(!bucket.is_needed(start + Duration::from_secs(1_010)));
    }
}
