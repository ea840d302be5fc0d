//! The reference model: the behaviour page of `rejoin-core`, written down as naively as it goes.
//!
//! A [`Model`] keeps plain lists, and finds everything by looking through them.
//! Each file is one section of the page; where the page says "the first of
//! them", the model sorts, and where it says "together", the model adds up. A
//! session must answer every input as the model does, with the same actions.
//!
//! That a counter is exhausted is not modelled.

#![expect(
    clippy::indexing_slicing,
    reason = "the model asks its tables only for what it knows to be there, and must not go on otherwise"
)]

mod acknowledge;
mod attach;
mod backend;
mod close;
mod complete;
mod connection;
mod deadlines;
mod disconnect;
mod get;
mod handle;
mod in_flight;
mod initialize;
mod post;
mod pressure;
mod record;
mod requests;
mod retention;
mod server_requests;
mod state;
mod stream;
mod table;

pub use state::Model;
