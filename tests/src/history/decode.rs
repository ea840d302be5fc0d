//! Histories from bytes, for a fuzzer.

use super::{OP_BYTES, Op, SETUP_BYTES, Setup};

/// Reads a history from any bytes: first the setup, then op by op. What is
/// missing of the setup is zero, and a piece of an op at the end is dropped.
#[must_use]
pub fn decode(bytes: &[u8]) -> (Setup, Vec<Op>) {
    let (head, tail) = bytes.split_at(bytes.len().min(SETUP_BYTES));
    let mut setup = [0; SETUP_BYTES];
    for (to, from) in setup.iter_mut().zip(head) {
        *to = *from;
    }
    let (ops, _) = tail.as_chunks::<OP_BYTES>();
    (Setup::from_bytes(setup), ops.iter().map(|op| Op::from_bytes(*op)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_history() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for length in 0..bytes.len() {
            let (_, ops) = decode(&bytes[..length]);
            assert_eq!(ops.len(), length.saturating_sub(SETUP_BYTES) / OP_BYTES);
        }
    }
}
