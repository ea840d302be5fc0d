//! Serialization of events as SSE.
//!
//! Specification: HTML, "Server-sent events"; MCP 2025-11-25, Transports.

use std::io::Write as _;

use bytes::Bytes;
use rejoin_core::EventId;

use crate::{SseEvent, session::MessagePart};

/// Estimated size of an event beyond its data, in bytes.
const FRAMING_BYTES: usize = 64;

/// An empty comment, sent when there is no event.
pub(super) const COMMENT: &[u8] = b":\n\n";

/// Serializes events.
pub(super) fn write(events: &[SseEvent]) -> Bytes {
    let mut text =
        Vec::with_capacity(events.iter().map(|event| FRAMING_BYTES + event.bytes()).sum());
    for event in events {
        write_event(event, &mut text);
    }
    Bytes::from(text)
}

fn write_event(event: &SseEvent, text: &mut Vec<u8>) {
    match event {
        SseEvent::Message { id, data } => {
            text.extend_from_slice(b"event: message\n");
            if let Some(id) = id {
                write_id(*id, text);
            }
            write_data(data, text);
        }
        SseEvent::Priming { id, retry } => {
            write_id(*id, text);
            if let Some(retry) = retry {
                // Writing to memory cannot fail.
                let _ = writeln!(text, "retry: {}", retry.as_millis());
            }
            text.extend_from_slice(b"data:\n\n");
        }
        SseEvent::Gap { id, first, notification } => {
            let last = id.index;
            // Writing to memory cannot fail.
            let _ = writeln!(text, ": gap: events {first} to {last} are missing\n");
            if let Some(data) = notification {
                text.extend_from_slice(b"event: message\n");
                write_id(*id, text);
                write_data(data, text);
            }
        }
    }
}

/// Writes the `data:` field. The data must be one line.
fn write_data(data: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(b"data: ");
    text.extend_from_slice(data);
    text.extend_from_slice(b"\n\n");
}

/// Serializes a part of a message.
pub(super) fn write_part(part: &MessagePart) -> Bytes {
    if !part.is_first && !part.is_last {
        return part.data.clone();
    }
    let mut text = Vec::with_capacity(FRAMING_BYTES + part.data.len());
    if part.is_first {
        text.extend_from_slice(b"event: message\n");
        if let Some(id) = part.id {
            write_id(id, &mut text);
        }
        text.extend_from_slice(b"data: ");
    }
    text.extend_from_slice(&part.data);
    if part.is_last {
        text.extend_from_slice(b"\n\n");
    }
    Bytes::from(text)
}

fn write_id(EventId { index, stream }: EventId, text: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    text.extend_from_slice(b"id: ");
    text.extend_from_slice(digits.format(index).as_bytes());
    if let Some(number) = stream.number() {
        text.push(b'/');
        text.extend_from_slice(digits.format(number).as_bytes());
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::StreamId;

    use super::*;

    fn written(event: SseEvent) -> String {
        String::from_utf8(write(&[event]).to_vec()).unwrap()
    }

    #[test]
    fn ids_are_written_as_they_are_parsed() {
        for stream in [StreamId::Standalone, StreamId::Request(0), StreamId::Request(u64::MAX)] {
            let id = EventId::new(stream, u64::MAX);
            let event = SseEvent::Priming { id, retry: None };
            assert_eq!(written(event), format!("id: {id}\ndata:\n\n"));
        }
    }

    #[test]
    fn events_are_written_as_specified() {
        let named = EventId::new(StreamId::Request(7), 3);
        let id = Some(named);
        let data = Bytes::from_static(b"{}");
        assert_eq!(
            written(SseEvent::Message { id, data: data.clone() }),
            "event: message\nid: 3/7\ndata: {}\n\n"
        );
        assert_eq!(
            written(SseEvent::Message { id: None, data: data.clone() }),
            "event: message\ndata: {}\n\n"
        );
        let retry = Some(Duration::from_millis(1_500));
        assert_eq!(
            written(SseEvent::Priming { id: named, retry }),
            "id: 3/7\nretry: 1500\ndata:\n\n"
        );
        assert_eq!(
            written(SseEvent::Gap { id: named, first: 2, notification: Some(data) }),
            ": gap: events 2 to 3 are missing\n\nevent: message\nid: 3/7\ndata: {}\n\n"
        );
        assert_eq!(
            written(SseEvent::Gap { id: named, first: 2, notification: None }),
            ": gap: events 2 to 3 are missing\n\n"
        );
    }
}
