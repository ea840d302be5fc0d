//! Journals: the recorded inputs of each session, in a file that can be replayed.
//!
//! Each session has its own file, named after the first half of its id, which cannot be used to
//! access the session. The first line is a [`Header`]; each further line is an [`Entry`]: an
//! input of the session, with its time. The core is deterministic, so a session with the same
//! inputs repeats the same actions. A journal has the heads and sizes of messages, but never their
//! bodies. Ids, progress tokens and times are recorded as they were.

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
