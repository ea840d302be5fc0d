//! Histories: inputs for sessions, generated from bytes.
//!
//! A history is a [`Setup`] and a list of [`Op`]s. Both are decoded from raw bytes, which
//! come from a seed, a fuzzer or `proptest`. An [`Environment`] acts as the client, the
//! backend, the network and the clock. It knows what each of them would know, and turns
//! each op into an input, which is mostly valid, and sometimes not.

mod backend;
mod client;
mod decode;
mod driver;
mod environment;
mod ids;
mod messages;
mod observe;
mod op;
mod random;
mod setup;
mod strategy;
mod time;

pub use decode::decode;
pub use environment::Environment;
pub use op::{OP_BYTES, Op, OpKind};
pub use random::{Random, generate};
pub use setup::{SETUP_BYTES, Setup};
pub use strategy::{ops, setups};
