//! Backends, which execute the actions that were planned for each request.

mod child;
mod flood;
mod in_process;
mod received;
mod scripted;

pub(crate) use child::INVALID_MESSAGE;
pub use child::run_child;
pub(crate) use in_process::{Backends, Opened};
pub(crate) use received::{Received, ReceivedBySession, ReceivedMessage};
pub(crate) use scripted::{BackendContext, has_length_of};
