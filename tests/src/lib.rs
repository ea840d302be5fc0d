//! What crosses crates: the reference model, and the histories that are run on it.

pub mod model;
