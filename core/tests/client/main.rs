//! Transcripts of the client machine, for each rule of `client.md`.

mod script;

mod closing;
mod deletion;
mod handshake;
mod limits;
mod lost_session;
mod messages;
mod no_connection;
mod refusals;
mod renewal;
mod resume;
mod server_requests;
mod standalone;
mod waiting;
