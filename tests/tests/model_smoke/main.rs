//! Short transcripts that the reference model must reproduce exactly, each derived by hand
//! from the behaviour page.

mod lifecycle;
mod limits;
mod requests;
mod room;
mod script;
mod standalone;
