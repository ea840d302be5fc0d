//! Observers of sessions: how several are combined, and what their labels have in common.

mod fan_out;
pub(crate) mod labels;
mod names;

pub(crate) use self::{fan_out::combine, names::KnownNames};
