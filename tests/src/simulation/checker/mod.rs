//! Checks that need the state of the session, besides those of [`crate::kit::checker`].

mod forwarded;
mod owner;
mod quiescence;
mod server_request;
mod stream_end;

pub(super) use forwarded::check_forwarded;
pub(super) use owner::check_owner;
pub(super) use quiescence::check_quiescence;
pub(super) use server_request::check_server_request;
pub(super) use stream_end::check_stream_end;
