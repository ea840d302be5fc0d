//! Round trips of event ids.

use std::str;

use rejoin_core::{EventId, StreamId};

/// Parses `data` as an event id, and formats one that is decoded from it.
///
/// # Panics
///
/// Panics if parsing and formatting are not inverse.
pub fn event_id(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(id) = text.parse::<EventId>()
    {
        assert_eq!(id.to_string(), text);
    }

    let (index, rest) = number(data);
    let stream =
        if rest.is_empty() { StreamId::Standalone } else { StreamId::Request(number(rest).0) };
    let id = EventId::new(stream, index);
    assert_eq!(id.to_string().parse(), Ok(id));
}

/// Decodes a number from the front of `data`. Returns the rest, too.
fn number(data: &[u8]) -> (u64, &[u8]) {
    let (front, rest) = data.split_at(data.len().min(size_of::<u64>()));
    let number = front.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (number, rest)
}
