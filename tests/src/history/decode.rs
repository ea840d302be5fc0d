//! Decoding of bytes into histories, for a fuzzer.

use super::{OP_BYTES, Op, SETUP_BYTES, Setup};

/// Decodes a history from any bytes: the setup, then the ops. Missing bytes of the setup
/// are zero; an incomplete op at the end is dropped.
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
    fn any_bytes_decode_to_a_history() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for length in 0..bytes.len() {
            let (_, ops) = decode(&bytes[..length]);
            assert_eq!(ops.len(), length.saturating_sub(SETUP_BYTES) / OP_BYTES);
        }
    }
}
