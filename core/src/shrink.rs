//! Giving memory back: what a burst has made large is made small again once little is in it.

use alloc::{collections::VecDeque, vec::Vec};

use slab::Slab;

/// For how many entries memory is kept, however few there are.
pub(crate) const CAPACITY_MIN: usize = 16;

/// Returns whether less than a quarter of the memory is used.
const fn is_oversized(len: usize, capacity: usize) -> bool {
    capacity > CAPACITY_MIN && len < capacity / 4
}

#[inline]
pub(crate) fn vec<T>(vec: &mut Vec<T>) {
    if is_oversized(vec.len(), vec.capacity()) {
        vec.shrink_to(vec.capacity() / 2);
    }
}

#[inline]
pub(crate) fn deque<T>(deque: &mut VecDeque<T>) {
    if is_oversized(deque.len(), deque.capacity()) {
        deque.shrink_to(deque.capacity() / 2);
    }
}

/// Gives back what lies behind the last entry: entries do not move.
#[inline]
pub(crate) fn slab<T>(slab: &mut Slab<T>) {
    if is_oversized(slab.len(), slab.capacity()) {
        slab.shrink_to_fit();
    }
}
