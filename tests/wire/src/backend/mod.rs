//! Backends: they hear requests, and say what they have planned about each.

mod child;
mod here;
mod speaker;

pub use child::run_child;
pub(crate) use here::{Backends, HeardBy};
pub(crate) use speaker::Heard;
