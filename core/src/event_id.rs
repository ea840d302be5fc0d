//! Event ids: the `id:` field of an SSE event, and the `Last-Event-ID` header of a client.

use core::{fmt, str::FromStr};

use thiserror::Error;

/// The id of a stream, unique within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StreamId {
    /// The standalone stream, which GET requests without an event id attach to.
    Standalone,
    /// The stream of a POST, by its number. The first one is 0.
    Request(u64),
}

impl StreamId {
    /// Returns the number of a request stream.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        match self {
            Self::Standalone => None,
            Self::Request(number) => Some(number),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standalone => f.write_str("standalone"),
            Self::Request(number) => fmt::Display::fmt(number, f),
        }
    }
}

/// The id of an event, unique within its session.
///
/// On the wire it is `<index>` on the standalone stream and `<index>/<stream>`
/// on a request stream. [`FromStr`] accepts exactly the output of [`Display`](fmt::Display).
///
/// Specification: MCP 2025-11-25, Transports, "Resumability and Redelivery".
///
/// ```
/// use rejoin_core::{EventId, StreamId};
///
/// let id: EventId = "3/1".parse()?;
/// assert_eq!(id, EventId::new(StreamId::Request(1), 3));
/// assert_eq!(id.to_string(), "3/1");
/// assert!("03/1".parse::<EventId>().is_err());
/// # Ok::<(), rejoin_core::EventIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EventId {
    /// The stream that the event belongs to.
    pub stream: StreamId,
    /// The index of the event in its stream. The first event has index 1; 0 is the position
    /// before it.
    pub index: u64,
}

impl EventId {
    /// Returns the id of the event at `index` of `stream`.
    #[must_use]
    pub const fn new(stream: StreamId, index: u64) -> Self {
        Self { stream, index }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stream {
            StreamId::Standalone => write!(f, "{}", self.index),
            StreamId::Request(number) => write!(f, "{}/{number}", self.index),
        }
    }
}

/// An error of parsing an event id. The client is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventIdError {
    /// The part before the slash, or the whole text, is not an index.
    #[error("the index of the event id {0}")]
    Index(NumberError),
    /// The part after the slash is not a stream number.
    #[error("the stream of the event id {0}")]
    Stream(NumberError),
}

/// What is wrong with a number in an event id. Only the canonical form is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NumberError {
    /// It is empty.
    #[error("is missing")]
    Missing,
    /// It has a character other than `0` to `9`, such as a sign or a space.
    #[error("has a character that is not a decimal digit")]
    NotDecimal,
    /// It has a leading zero.
    #[error("has a leading zero")]
    LeadingZero,
    /// It is larger than 2^64 - 1.
    #[error("is larger than 18446744073709551615")]
    TooLarge,
}

impl FromStr for EventId {
    type Err = EventIdError;

    /// Parses the canonical form.
    ///
    /// Never allocates or panics.
    ///
    /// # Errors
    ///
    /// Returns an [`EventIdError`] that names the invalid part. The client is at fault.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (index, stream) = match text.split_once('/') {
            Some((index, stream)) => (index, Some(stream)),
            None => (text, None),
        };
        let index = parse_number(index).map_err(EventIdError::Index)?;
        let stream = match stream {
            Some(stream) => StreamId::Request(parse_number(stream).map_err(EventIdError::Stream)?),
            None => StreamId::Standalone,
        };
        Ok(Self { stream, index })
    }
}

fn parse_number(text: &str) -> Result<u64, NumberError> {
    if text.is_empty() {
        return Err(NumberError::Missing);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::NotDecimal);
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(NumberError::LeadingZero);
    }
    text.parse().map_err(|_| NumberError::TooLarge)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_parsed() {
        let standalone = EventId::new(StreamId::Standalone, 7);
        let request = EventId::new(StreamId::Request(1), 3);
        assert_eq!("7".parse(), Ok(standalone));
        assert_eq!("3/1".parse(), Ok(request));
        assert_eq!(
            "18446744073709551615/18446744073709551615".parse(),
            Ok(EventId::new(StreamId::Request(u64::MAX), u64::MAX))
        );
    }

    #[test]
    fn non_canonical_ids_are_rejected_with_their_fault() {
        use NumberError::{LeadingZero, Missing, NotDecimal, TooLarge};
        let many = "9".repeat(5_000);
        for (text, error) in [
            ("", EventIdError::Index(Missing)),
            ("/", EventIdError::Index(Missing)),
            ("/1", EventIdError::Index(Missing)),
            ("1/", EventIdError::Stream(Missing)),
            ("x", EventIdError::Index(NotDecimal)),
            ("-1", EventIdError::Index(NotDecimal)),
            ("+1", EventIdError::Index(NotDecimal)),
            (" 1", EventIdError::Index(NotDecimal)),
            ("1 ", EventIdError::Index(NotDecimal)),
            ("1/+1", EventIdError::Stream(NotDecimal)),
            ("0/0/0", EventIdError::Stream(NotDecimal)),
            ("\u{0661}", EventIdError::Index(NotDecimal)),
            ("00", EventIdError::Index(LeadingZero)),
            ("1/01", EventIdError::Stream(LeadingZero)),
            ("18446744073709551616", EventIdError::Index(TooLarge)),
            ("1/18446744073709551616", EventIdError::Stream(TooLarge)),
            (many.as_str(), EventIdError::Index(TooLarge)),
        ] {
            assert_eq!(text.parse::<EventId>(), Err(error), "{text:?}");
        }
    }

    fn event_id() -> impl Strategy<Value = EventId> {
        let stream =
            prop_oneof![Just(StreamId::Standalone), any::<u64>().prop_map(StreamId::Request)];
        (stream, any::<u64>()).prop_map(|(stream, index)| EventId::new(stream, index))
    }

    proptest! {
        #[test]
        fn displayed_ids_parse_to_themselves(id in event_id()) {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn parsed_ids_display_as_their_text(text in "[0-9/+ -]{0,24}|[0-9]{1,21}(/[0-9]{1,21})?|\\PC*") {
            if let Ok(id) = text.parse::<EventId>() {
                let written: String = id.to_string();
                prop_assert_eq!(written, text);
            }
        }
    }
}
