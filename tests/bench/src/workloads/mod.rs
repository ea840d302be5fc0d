//! The session layer alone, in this process.

mod create;
mod pending;
mod progress;
mod request;
mod resume;
mod section;

pub(crate) use self::section::run;

use std::time::Instant;

use crate::measure::Metric;

/// Nanoseconds, for one unit of the work.
pub(crate) const TIME: Metric = Metric::cost("time", "ns");

/// Returns nanoseconds for each of `count`.
pub(crate) fn nanoseconds(since: Instant, count: usize) -> f64 {
    since.elapsed().as_secs_f64() * 1e9 / count as f64
}
