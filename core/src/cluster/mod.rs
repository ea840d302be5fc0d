//! Decisions of a process that shares a store of sessions with others, as pure state machines.
//!
//! Every session has one owner, which has it in memory. A store has what another process needs to go
//! on with it. [`Tenure`] decides what the owner writes there, and when it is not the owner any more;
//! [`NodeLease`] decides what the process may promise; [`Resolve`] decides who serves a session that the
//! process does not have. They have no clock and do no I/O.

mod id;
mod lease;
mod resolve;
mod tenure;

pub use self::{
    id::{EntryId, InvalidId, NodeId, StoreId},
    lease::{LeaseAction, LeaseActions, LeaseConfig, NodeLease},
    resolve::{ClaimOutcome, Claimable, OwnerLease, Resolve, ResolveAction, SessionStatus},
    tenure::{
        EntryKind, GiveUpReason, LastEntry, Tenure, TenureAction, TenureActions, WriteOutcome,
    },
};
