//! Shrinking of collections that a burst has made large, once they are nearly empty.

use alloc::{collections::VecDeque, vec::Vec};

use slab::Slab;

/// Capacity, in entries, below which nothing is shrunk.
pub(crate) const CAPACITY_MIN: usize = 16;

/// Returns whether less than a quarter of the capacity is used.
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

/// Releases the capacity behind the last occupied entry: entries do not move.
#[inline]
pub(crate) fn slab<T>(slab: &mut Slab<T>) {
    if is_oversized(slab.len(), slab.capacity()) {
        slab.shrink_to_fit();
    }
}
