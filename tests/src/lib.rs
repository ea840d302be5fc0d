//! The reference model, the histories that it and a session see, the worlds in
//! which sessions live, and the checkers of the laws.

pub mod driver;
pub mod history;
pub mod journal;
pub mod laws;
pub mod model;
pub mod runner;
pub mod stats;
pub mod world;
