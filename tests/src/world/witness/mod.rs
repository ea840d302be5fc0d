//! The witness: what a client can hold a server to, whatever is in between.
//!
//! The laws judge what a session does. These checks judge what comes out at the far
//! end of the wire, against what the backend said and what was told of its loss.

mod baseline;
mod chain;
mod forwarded;
mod outcome;
mod question;
mod truth;

pub(super) use baseline::check_baseline;
pub use chain::Chain;
pub(super) use chain::check_owner;
pub(super) use forwarded::check_forwarded;
pub(super) use outcome::check_end;
pub use outcome::{Circumstances, Outcome, explain};
pub(super) use question::check_question;
pub use truth::{Fact, Truth};
