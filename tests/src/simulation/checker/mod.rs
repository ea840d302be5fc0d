//! Checks of what a client receives, whatever the network did.
//!
//! The laws check what a session does. These checks compare what clients receive with what the
//! backend sent and with the losses that were reported.

mod forwarded;
mod ground_truth;
mod outcome;
mod quiescence;
mod server_request;
mod stream;

pub(super) use forwarded::check_forwarded;
pub use ground_truth::{GroundTruth, RecordedMessage};
pub(super) use outcome::check_stream_end;
pub use outcome::{Outcome, RequestFacts, check_outcome};
pub(super) use quiescence::check_quiescence;
pub(super) use server_request::check_server_request;
pub use stream::StreamChecker;
pub(super) use stream::check_owner;
