//! Ids of requests, progress tokens and connections.

use alloc::sync::Arc;
use core::fmt;

use thiserror::Error;

/// Maximum length of the text of a request id or progress token, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// The id of a connection, which is one HTTP response body.
///
/// The driver assigns it, and must not reuse it within a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The JSON value of an id: an integer or a string.
///
/// Ids are compared as JSON values: `1` and `"1"` are different, `1` and `1.0` are equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdValue {
    /// An integer.
    Integer(i64),
    /// A string of at most [`ID_BYTES_MAX`] bytes.
    Text(Arc<str>),
}

/// An error for an id or progress token of more than [`ID_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an id is longer than {ID_BYTES_MAX} bytes")]
pub struct IdTooLong;

impl TryFrom<&str> for IdValue {
    type Error = IdTooLong;

    fn try_from(text: &str) -> Result<Self, IdTooLong> {
        if text.len() > ID_BYTES_MAX {
            return Err(IdTooLong);
        }
        Ok(Self::Text(text.into()))
    }
}

impl fmt::Debug for IdValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => fmt::Debug::fmt(integer, f),
            Self::Text(text) => fmt::Debug::fmt(text, f),
        }
    }
}

macro_rules! wire_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub(crate) IdValue);

        impl $name {
            /// Returns the JSON value.
            #[must_use]
            pub fn value(&self) -> &IdValue {
                &self.0
            }
        }

        impl From<i64> for $name {
            fn from(integer: i64) -> Self {
                Self(IdValue::Integer(integer))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdTooLong;

            fn try_from(text: &str) -> Result<Self, IdTooLong> {
                IdValue::try_from(text).map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

wire_id! {
    /// The id of a JSON-RPC request.
    ///
    /// Specification: JSON-RPC 2.0, section 4; MCP 2025-11-25, Base Protocol, "Requests".
    RequestId
}

wire_id! {
    /// The progress token of a request.
    ///
    /// Specification: MCP 2025-11-25, Utilities, "Progress".
    ProgressToken
}

#[cfg(feature = "serde")]
mod wire {
    use core::fmt;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::IdValue;

    impl Serialize for IdValue {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::Integer(integer) => serializer.serialize_i64(*integer),
                Self::Text(text) => serializer.serialize_str(text),
            }
        }
    }

    impl<'de> Deserialize<'de> for IdValue {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Visitor)
        }
    }

    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = IdValue;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer or a string")
        }

        fn visit_i64<E>(self, integer: i64) -> Result<IdValue, E> {
            Ok(IdValue::Integer(integer))
        }

        fn visit_u64<E: de::Error>(self, integer: u64) -> Result<IdValue, E> {
            let integer = i64::try_from(integer).map_err(E::custom)?;
            Ok(IdValue::Integer(integer))
        }

        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::float_cmp,
            reason = "the comparison shows that nothing was lost"
        )]
        fn visit_f64<E: de::Error>(self, float: f64) -> Result<IdValue, E> {
            let integer = float as i64;
            let is_exact =
                integer as f64 == float && integer.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS;
            if is_exact { Ok(IdValue::Integer(integer)) } else { Err(E::custom("not an integer")) }
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<IdValue, E> {
            IdValue::try_from(text).map_err(E::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_json_values() {
        assert_ne!(RequestId::from(1), RequestId::try_from("1").unwrap());
        assert_eq!(RequestId::try_from("a").unwrap(), RequestId::try_from("a").unwrap());
    }

    #[test]
    fn ids_longer_than_256_bytes_are_rejected() {
        assert!(RequestId::try_from("x".repeat(256).as_str()).is_ok());
        assert_eq!(RequestId::try_from("x".repeat(257).as_str()), Err(IdTooLong));
    }

    #[test]
    fn id_size_is_two_words() {
        assert_eq!(size_of::<RequestId>(), 2 * size_of::<usize>());
    }
}
