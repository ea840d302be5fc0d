//! Backends: they hear requests, and say what they have planned about each.

mod child;
mod flood;
mod heard;
mod here;
mod speaker;

pub(crate) use child::GARBLED;
pub use child::run_child;
pub(crate) use heard::{Heard, HeardBy, Hearing};
pub(crate) use here::{Backends, Opened};
pub(crate) use speaker::Scene;
