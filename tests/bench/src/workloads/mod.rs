//! Workloads of the session layers, in this process.

mod create;
mod pending;
mod progress;
mod request;
mod resume;
mod section;

pub(crate) use self::{
    create::Creations,
    request::{Requests, Scenario},
    section::run,
};

use std::time::Instant;

use crate::measure::Metric;

/// Nanoseconds per unit of a workload.
pub(crate) const TIME: Metric = Metric::cost("time", "ns");

/// Returns the elapsed nanoseconds, divided by `count`.
pub(crate) fn nanoseconds(since: Instant, count: usize) -> f64 {
    since.elapsed().as_secs_f64() * 1e9 / count as f64
}
