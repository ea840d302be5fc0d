//! Capacity of collections: moderate growth, and shrinking after a burst.

use alloc::collections::VecDeque;

use slab::Slab;

/// Capacity, in entries, below which the collections grow as usual and are not shrunk.
pub(crate) const CAPACITY_MIN: usize = 16;

/// Returns whether less than a quarter of the capacity is used.
const fn is_oversized(len: usize, capacity: usize) -> bool {
    capacity > CAPACITY_MIN && len < capacity / 4
}

#[inline]
pub(crate) fn shrink_deque<T>(deque: &mut VecDeque<T>) {
    if is_oversized(deque.len(), deque.capacity()) {
        deque.shrink_to(deque.capacity() / 2);
    }
}

/// Releases the capacity behind the last occupied entry: entries do not move.
#[inline]
pub(crate) fn shrink_slab<T>(slab: &mut Slab<T>) {
    if is_oversized(slab.len(), slab.capacity()) {
        slab.shrink_to_fit();
    }
}

/// Makes room for one more entry in a slab of large entries. Its capacity grows by a quarter, since
/// doubling it would waste up to half of the memory.
#[inline]
pub(crate) fn grow_slab<T>(slab: &mut Slab<T>) {
    let capacity = slab.capacity();
    if slab.len() == capacity && capacity >= CAPACITY_MIN {
        slab.reserve_exact(capacity / 4);
    }
}
