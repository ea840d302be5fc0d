//! The reference model of a session, random histories, simulations, and the checkers of
//! the laws.

#[macro_use]
mod config;

pub mod cluster;
pub mod driver;
pub mod history;
pub mod journal;
pub mod kit;
pub mod laws;
pub mod model;
pub mod runner;
pub mod simulation;
pub mod stats;
