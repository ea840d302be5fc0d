//! Checks of what a client receives, whatever the network did: by what the backend sent, and by
//! the losses that were reported.

mod ground_truth;
mod outcome;
mod stream;

pub use ground_truth::{GroundTruth, RecordedMessage};
pub use outcome::{Outcome, RequestFacts, check_outcome};
pub use stream::StreamChecker;
