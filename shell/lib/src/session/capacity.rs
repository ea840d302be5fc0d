//! The memory of collections that a burst of requests has grown.

use std::collections::VecDeque;

/// Capacity, in entries, up to which a collection keeps its memory.
pub(super) const CAPACITY_MIN: usize = 16;

/// Gives memory back if less than a quarter of it is used.
pub(super) fn shrink_vec<T>(vec: &mut Vec<T>) {
    if let Some(capacity) = smaller(vec.len(), vec.capacity()) {
        vec.shrink_to(capacity);
    }
}

/// Gives memory back if less than a quarter of it is used.
pub(super) fn shrink_deque<T>(deque: &mut VecDeque<T>) {
    if let Some(capacity) = smaller(deque.len(), deque.capacity()) {
        deque.shrink_to(capacity);
    }
}

/// Returns the capacity to shrink to, which leaves room for as many entries again.
fn smaller(len: usize, capacity: usize) -> Option<usize> {
    let is_oversized = capacity > CAPACITY_MIN && len < capacity / 4;
    is_oversized.then(|| (2 * len).max(CAPACITY_MIN))
}
