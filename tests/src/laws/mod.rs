//! The ten laws of a session, checked from outside after every step.
//!
//! A [`Checker`] sees what a driver could see: the configuration, each input with its
//! time, the result, the actions, the contents of replays, and the getters of the
//! session. Each file has one law, or a part of one. `Readers` tracks what each
//! connection was sent, `Commits` what is committed, `Silence` for how long its reader has acknowledged nothing, and
//! `ServerRequests` what the client has yet to answer, for several laws.

mod checker;
mod commits;
#[cfg(test)]
mod fixtures;
mod heads;
mod law10_committed;
mod law1_nothing_queued;
mod law2_deadline;
mod law3_rejection;
mod law4_in_order;
mod law4_without_gap;
mod law5_one_stream;
mod law6_drained;
mod law6_no_request_lost;
mod law6_reports;
mod law7_bounded;
mod law7_cancelled;
mod law7_limit;
mod law7_room;
mod law8_end;
mod law9_deterministic;
mod observed;
mod readers;
mod server_requests;
mod silence;
mod step;

pub use checker::{Checker, Violation};
pub use commits::last_record;
pub use heads::{answered_id, cancelled_id, posted, request_id};
pub use observed::ObservedSession;
pub use step::{ConnectionView, LogView, Position, Step, View};
pub(crate) use step::{event_of, sent_event};
