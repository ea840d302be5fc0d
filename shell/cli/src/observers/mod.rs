//! Observers of sessions: how several are combined, and what they have in common.

mod closed;
mod fan_out;
pub(crate) mod labels;
mod names;

pub(crate) use self::{closed::ClosedSessions, fan_out::combine, names::KnownNames};
