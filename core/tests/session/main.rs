//! Transcripts of sessions, for each rule of `behaviour.md` and each input.

#[macro_use]
mod script;

mod activity_reports;
mod backend_lost;
mod cancellation;
mod closing;
mod commits;
mod connections;
mod deferred_disconnects;
mod draining;
mod eviction;
mod handshake;
mod holds;
mod kept;
mod limits;
mod observation;
mod posts;
mod replacing;
mod resume;
mod retention;
mod room;
mod routing;
mod server_requests;
mod shrinking;
mod slow_readers;
mod standalone;
mod stopped;
