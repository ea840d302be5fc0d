//! Histories: what happens to sessions, made up from a few bytes.
//!
//! A history is a [`Setup`] and a list of [`Op`]s, both made of raw bytes, so
//! that any source of bytes is one of histories: a seed, a fuzzer, `proptest`. A
//! [`World`] plays the client, the backend, the network and the clock. It knows
//! what each of them would know, and makes an input of each op that mostly makes
//! sense to the session, and now and then does not.

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
