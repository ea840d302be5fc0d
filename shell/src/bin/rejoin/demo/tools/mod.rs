//! The tools: what a session has to cope with, one by one.

mod announce;
mod ask;
mod complete;
mod count;
mod echo;
mod flood;
mod nap;
mod poll;

use super::{argument::Number, conformance, tool::Tool};

/// Returns every tool of the demo server.
pub(super) fn all() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().chain(conformance::TOOLS)
}

const TOOLS: &[Tool] = &[
    echo::TOOL,
    count::TOOL,
    flood::TOOL,
    ask::TOOL,
    complete::TOOL,
    poll::TOOL,
    announce::TOOL,
    nap::TOOL,
];

/// The longest text of an argument, in bytes.
const TEXT_MAX: usize = 64 << 10;

/// How long to wait between two steps.
const INTERVAL: Number = Number {
    name: "interval_ms",
    about: "How long to wait before each, in milliseconds",
    min: 0,
    max: 60_000,
};

/// How long to wait once.
const MILLIS: Number = Number {
    name: "ms",
    about: "When to answer, in milliseconds from the call on",
    min: 0,
    max: 600_000,
};
