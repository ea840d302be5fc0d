//! The key of a session in a store.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::SessionId;

/// The key of a session: the first half of the SHA-256 hash of its id, so that anyone who can read
/// the store cannot act for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreKey(u128);

impl StoreKey {
    /// Returns the key of a session.
    #[must_use]
    pub fn of(session: SessionId) -> Self {
        let hash: [u8; 32] = Sha256::digest(session.to_string()).into();
        Self(first_half(hash))
    }
}

fn first_half(hash: [u8; 32]) -> u128 {
    hash.into_iter().take(16).fold(0, |half, byte| half << 8 | u128::from(byte))
}

/// 32 hexadecimal digits.
impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_have_the_id_of_its_session() {
        let session: SessionId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        // The beginning of `printf %s ID | sha256sum`.
        assert_eq!(StoreKey::of(session).to_string(), EXPECTED);
    }

    const EXPECTED: &str = "d65df89f702eec58ca3c7bf2001c9ffc";
}
