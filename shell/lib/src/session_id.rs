//! Session ids.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::sync;

/// Length of a session id on the wire, in characters.
const LENGTH: usize = 32;

/// Positions of the hyphens of a UUID.
#[cfg(feature = "rmcp")]
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Names a session: 128 random bits, on the wire 32 hexadecimal digits.
///
/// It is a secret: anyone who knows it can act for the client. Only
/// [`SessionId::short`] is logged.
///
/// Specification: MCP 2025-11-25, Transports, "Session Management".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// Generates an id, with a cryptographically secure generator that the operating system
    /// seeds.
    ///
    /// # Panics
    ///
    /// The operating system provides no randomness.
    pub(crate) fn random() -> Self {
        Self(sync::random())
    }

    /// Generates an id that is a UUID of version 4, with 122 random bits.
    ///
    /// # Panics
    ///
    /// Same as [`random`](Self::random).
    #[cfg(feature = "rmcp")]
    pub(crate) fn random_uuid() -> Self {
        let Self(random) = Self::random();
        // RFC 9562, 5.4.
        Self(random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62)
    }

    /// Parses a UUID in its canonical form: with hyphens, in lower case.
    #[cfg(feature = "rmcp")]
    pub(crate) fn parse_uuid(text: &str) -> Option<Self> {
        if text.len() != LENGTH + UUID_HYPHENS.len() {
            return None;
        }
        let add = |sum: u128, (at, byte)| match byte {
            b'-' if UUID_HYPHENS.contains(&at) => Some(sum),
            byte if !UUID_HYPHENS.contains(&at) => Some(sum << 4 | u128::from(digit(byte)?)),
            _ => None,
        };
        text.bytes().enumerate().try_fold(0, add).map(Self)
    }

    /// Returns the id as a UUID in its canonical form.
    #[cfg(feature = "rmcp")]
    pub(crate) fn to_uuid(self) -> String {
        let mut text = self.to_string();
        for at in UUID_HYPHENS {
            text.insert(at, '-');
        }
        text
    }

    /// Returns the first half, which identifies a session in a log and cannot be used to access
    /// it.
    #[must_use]
    pub fn short(self) -> impl fmt::Display {
        struct Short(u64);
        impl fmt::Display for Short {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
        let [high, _] = self.halves();
        Short(high)
    }

    /// Returns a hash of the id, to select a shard by.
    pub(crate) fn shard_hash(self) -> u8 {
        let [.., last] = self.0.to_be_bytes();
        last
    }

    fn halves(self) -> [u64; 2] {
        let bytes = self.0.to_be_bytes();
        let (high, low) = bytes.split_at(8);
        [high, low].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }
}

/// The error for a text that is not a session id of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a session id must be {LENGTH} lower-case hexadecimal digits")]
pub struct SessionIdError;

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        if text.len() != LENGTH {
            return Err(SessionIdError);
        }
        let add = |sum: u128, byte| Some(sum << 4 | u128::from(digit(byte)?));
        text.bytes().try_fold(0, add).map(Self).ok_or(SessionIdError)
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}…)", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_parsed() {
        let id = SessionId(0x0123_4567_89ab_cdef_0000_0000_0000_00ff);
        assert_eq!(id.to_string(), "0123456789abcdef00000000000000ff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short().to_string(), "0123456789abcdef");
        for text in
            ["", "0", "0123456789ABCDEF00000000000000ff", "+123456789abcdef00000000000000ff"]
        {
            assert_eq!(text.parse::<SessionId>(), Err(SessionIdError), "{text:?}");
        }
    }

    #[cfg(feature = "rmcp")]
    #[test]
    fn only_the_canonical_form_of_a_uuid_is_parsed() {
        let id = SessionId(0x0123_4567_89ab_cdef_0000_0000_0000_00ff);
        let text = "01234567-89ab-cdef-0000-0000000000ff";
        assert_eq!(id.to_uuid(), text);
        assert_eq!(SessionId::parse_uuid(text), Some(id));
        for text in [
            "",
            "0123456789abcdef00000000000000ff",
            "01234567-89AB-cdef-0000-0000000000ff",
            "01234567-89ab-cdef-0000-0000000000fg",
            "0123456789ab-cdef-0000-00000000-00ff",
            "01234567-89ab-cdef-0000-0000000000fé",
            "------------------------------------",
        ] {
            assert_eq!(SessionId::parse_uuid(text), None, "{text}");
        }
        let random = SessionId::random_uuid().to_uuid();
        assert_eq!(&random[14..15], "4", "{random}");
        assert!(["8", "9", "a", "b"].contains(&&random[19..20]), "{random}");
    }

    #[test]
    fn ids_are_unique_and_debug_output_is_truncated() {
        let id = SessionId::random();
        assert_ne!(id, SessionId::random());
        assert!(!format!("{id:?}").contains(&id.to_string()));
    }
}
