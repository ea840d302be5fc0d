//! Histories from `proptest`, which shrinks them.

use std::ops::Range;

use proptest::{collection, prelude::*};

use super::{OP_BYTES, Op, SETUP_BYTES, Setup};

/// Returns a strategy for setups.
pub fn setups() -> impl Strategy<Value = Setup> {
    any::<[u8; SETUP_BYTES]>().prop_map(Setup::from_bytes)
}

/// Returns a strategy for the ops of a history.
pub fn ops(length: Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    collection::vec(any::<[u8; OP_BYTES]>().prop_map(Op::from_bytes), length)
}
