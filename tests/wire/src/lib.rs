//! Worlds over the wire: many clients of real HTTP, on connections that fail, with the real
//! shell at the other end.
//!
//! It is the worlds of [`rejoin_tests::world`] again, with luck, faults and limits of the same
//! kinds, and the whole shell between both ends. Clients speak HTTP/1.1 and read SSE;
//! `link`s between them and their server cut, delay, throttle, stall and lose what
//! they pass on, and in some worlds buffer it as `kernel`s do; `backend`s work, ask and answer. Of the core, both ends use no more than
//! its types and its way to read the head of a message. The server is in this process,
//! where time is virtual, or is a process of its own behind sockets.
//!
//! Some faults do not exist here, since there is no way to bring them about over the wire. No
//! client can make the shell give a stream up, or is heard before there is a session; the
//! shell does not go on from a snapshot; its clock does not go back; and what happens at one
//! instant comes in the order in which its tasks run. A backend that is called with
//! each message has no life of its own, so that it cannot die, and whoever runs the program
//! over sockets ends no session in the middle.
//!
//! Every session has its journal on. When it is over, a `judge` has the nine laws checked
//! step by step, and then holds what its client saw and what its backend heard against what
//! the journal says that the session did.

mod alarm;
mod backend;
mod client;
mod exchange;
mod failure;
mod here;
mod judge;
mod kernel;
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
pub use kernel::Line;
pub use knobs::{Flood, Kind, Knobs};
pub use sabotage::Sabotage;
pub use soak::{Soak, soak, soak_round};
pub use there::{Programs, run_there};
