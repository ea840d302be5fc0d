//! The reference model: a naive implementation of the behaviour page of `rejoin-core`.
//!
//! A [`Model`] keeps plain lists and searches them linearly. Each file is one section
//! of the page; where the page says "the first of them", the model sorts, and where it
//! says "together", the model adds up. A session must answer every input as the model
//! does, with the same actions.
//!
//! The exhaustion of counters is not modelled.

#![expect(
    clippy::indexing_slicing,
    reason = "the model indexes its tables only with keys that it knows to exist, and must panic otherwise"
)]

mod acknowledge;
mod attach;
mod backend;
mod backend_lost;
mod backpressure;
mod case;
mod close;
mod commit;
mod complete;
mod connection;
mod deadlines;
mod disconnect;
mod drain;
mod get;
mod handle;
mod initialize;
mod post;
mod record;
mod requests;
mod retention;
mod room;
mod server_requests;
mod shrinking;
mod state;
mod stopped;
mod stream;
mod table;

pub use case::{Case, Cause};
pub use state::Model;
