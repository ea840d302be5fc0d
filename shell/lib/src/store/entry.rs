//! The names of what a store has.

use std::{fmt, str::FromStr};

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

/// The id of an entry. Its text is `epoch-number`, as the id of an entry of a Redis stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// How often the session was taken over, from 1.
    pub epoch: u64,
    /// The number of the entry in its epoch.
    pub number: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl FromStr for EntryId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (epoch, number) = text.split_once('-').ok_or(InvalidName)?;
        let parse = |text: &str| text.parse().map_err(|_| InvalidName);
        Ok(Self { epoch: parse(epoch)?, number: parse(number)? })
    }
}

/// A text that a store has returned is not a name.
#[derive(Debug, thiserror::Error)]
#[error("not an id of an entry or of a store")]
pub struct InvalidName;

/// Names a process that has sessions: 64 random bits, chosen when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Generates an id.
    ///
    /// # Panics
    ///
    /// The operating system provides no randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names what a store remembers: another id means that it has forgotten everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreId(u128);

impl StoreId {
    /// Generates an id.
    ///
    /// # Panics
    ///
    /// The operating system provides no randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for StoreId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let id = EntryId { epoch: u64::MAX, number: 0 };
        assert_eq!(id.to_string().parse::<EntryId>().unwrap(), id);
        assert!(EntryId { epoch: 2, number: 0 } > EntryId { epoch: 1, number: 9 });
        for text in ["", "1", "1-", "-1", "1-2-3", "a-1", "18446744073709551616-0"] {
            assert!(text.parse::<EntryId>().is_err(), "{text}");
        }
        let store = StoreId::random();
        assert_eq!(store.to_string().parse::<StoreId>().unwrap(), store);
    }

    #[test]
    fn a_key_does_not_have_the_id_of_its_session() {
        let session: SessionId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        // The beginning of `printf %s ID | sha256sum`.
        assert_eq!(StoreKey::of(session).to_string(), EXPECTED);
    }

    const EXPECTED: &str = "d65df89f702eec58ca3c7bf2001c9ffc";
}
