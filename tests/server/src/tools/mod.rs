//! The tools, each for one kind of traffic.

mod announce;
mod ask;
mod complete;
mod count;
mod echo;
mod poll;

use super::{argument::Number, conformance, tool::Tool};

/// Returns every tool.
pub(super) fn all() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().chain(conformance::TOOLS)
}

const TOOLS: &[Tool] =
    &[echo::TOOL, count::TOOL, ask::TOOL, complete::TOOL, poll::TOOL, announce::TOOL];

/// Maximum size of a string argument in bytes.
const TEXT_MAX: usize = 64 << 10;

/// Delay before each step.
const INTERVAL: Number = Number {
    name: "interval_ms",
    about: "Delay before each step in milliseconds",
    min: 0,
    max: 600_000,
};
