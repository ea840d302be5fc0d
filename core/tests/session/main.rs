//! What a session does, as transcripts: each row of the behaviour page, and each input.

mod script;

mod cancellation;
mod connections;
mod handshake;
mod limits;
mod posts;
mod pressure;
mod questions;
mod resume;
mod retention;
mod routing;
mod slow_readers;
mod standalone;
mod the_end;
mod window;
