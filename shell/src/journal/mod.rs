//! The journal: what happened in each session, as a file that can be run again.
//!
//! Every session has a file of its own, named after the first half of its id, which
//! lets nobody in. Its first line is a [`Header`]; each of the others is an [`Entry`]:
//! an input of the session, and when it came. The core is deterministic, so a session
//! that is given the same inputs does the same again. Of messages there are heads and
//! sizes, never bodies: but ids, progress tokens and times are there as they were.

mod entry;
mod read;
mod record;
mod write;

pub(crate) use self::record::Recorder;
pub use self::{
    entry::{Entry, Header},
    read::{ReadError, Reader},
    write::Journal,
};
