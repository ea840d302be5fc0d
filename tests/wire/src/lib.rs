//! Worlds over the wire: many clients of real HTTP, on connections that fail, with the real
//! shell at the other end.
//!
//! It is the worlds of [`rejoin_tests::world`] again, with the same luck, faults and limits,
//! but nothing in it is made of the core any more. Clients speak HTTP/1.1 and read SSE;
//! `link`s between them and their server cut, delay, throttle, stall and lose what
//! they pass on; `backend`s work, ask and answer. The server is in this process,
//! where time is virtual, or is a process of its own behind sockets.
//!
//! Every session has its journal on. When it is over, a `judge` has the nine laws checked
//! step by step, and then holds what its client saw and what its backend heard against what
//! the journal says that the session did.

mod backend;
mod client;
mod exchange;
mod failure;
mod here;
mod judge;
mod knobs;
mod link;
mod memory;
mod message;
mod options;
mod play;
mod program;
mod sabotage;
mod server;
mod soak;
mod sse;
mod there;
mod visit;
mod world;

pub use backend::run_child;
pub use failure::Failure;
pub use here::{run_here, shrink_here};
pub use knobs::{Kind, Knobs};
pub use program::{Build, build};
pub use soak::{Soak, soak, soak_round};
pub use there::{Programs, run_there};
