//! The timeline of a session: what happened to each of its streams, for somebody who has never read
//! the specification.
//!
//! It is made of marks, which [`page`] draws. They come from the steps of a session, recorded or
//! watched, and from the events that an observer is told.

mod connections;
mod label;
mod mark;
mod page;
mod steps;

pub(crate) use self::{
    label::describe,
    mark::{Mark, Row, What, cut},
    page::{Page, live_page},
    steps::Timeline,
};
