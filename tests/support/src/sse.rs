//! A strict parser of SSE as this server writes it: anything else is an error.
//!
//! Specification: HTML Living Standard, "Server-sent events".

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rejoin_core::EventId;
use serde_json::Value;

/// An item of an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A keep-alive comment.
    KeepAlive,
    /// A comment that reports missing events.
    Gap(RangeInclusive<u64>),
    /// An event with empty data.
    Priming {
        /// Its id.
        id: EventId,
        /// The reconnect delay.
        retry: Option<Duration>,
    },
    /// A message.
    Message {
        /// Its id.
        id: Option<EventId>,
        /// The JSON text.
        data: Bytes,
    },
}

/// An incremental parser of an event stream.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: BytesMut,
    /// How much of the buffer has no end of an event.
    searched: usize,
}

/// Maximum size of an event, in bytes.
const EVENT_BYTES_MAX: usize = 16 << 20;

impl Item {
    /// Returns the id of the event, as text.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Priming { id, .. } => Some(id.to_string()),
            Self::Message { id, .. } => id.map(|id| id.to_string()),
            Self::KeepAlive | Self::Gap(_) => None,
        }
    }

    /// Returns the reconnect delay.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        match self {
            Self::Priming { retry, .. } => *retry,
            Self::KeepAlive | Self::Gap(_) | Self::Message { .. } => None,
        }
    }

    /// Returns whether it is a comment.
    #[must_use]
    pub fn is_comment(&self) -> bool {
        matches!(self, Self::KeepAlive | Self::Gap(_))
    }

    /// Returns whether it is a message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Message { .. })
    }

    /// Returns the message, or `Null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        match self {
            Self::Message { data, .. } => serde_json::from_slice(data).unwrap(),
            Self::KeepAlive | Self::Gap(_) | Self::Priming { .. } => Value::Null,
        }
    }

    /// Returns whether it is a response.
    #[must_use]
    pub fn is_response(&self) -> bool {
        let message = self.json();
        message.get("result").or(message.get("error")).is_some_and(Value::is_object)
    }

    /// Returns the value of a progress notification.
    #[must_use]
    pub fn progress(&self) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a count"
        )]
        self.json().pointer("/params/progress")?.as_f64().map(|progress| progress as u64)
    }
}

impl Parser {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next item, if it is complete.
    ///
    /// # Errors
    ///
    /// The server does not write this.
    pub fn next_item(&mut self) -> Result<Option<Item>, String> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") else {
            self.searched = self.buffer.len().saturating_sub(1);
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err("event too large".to_owned());
            }
            return Ok(None);
        };
        let end = self.searched + end;
        self.searched = 0;
        let block = self.buffer.split_to(end + 2).freeze();
        let block = block.slice(..end);
        let failure = |why: &str| format!("{why}: {:?}", String::from_utf8_lossy(&block));
        read(&block).map(Some).map_err(failure)
    }

    /// Returns whether a part of an event is buffered.
    #[must_use]
    pub fn is_mid_event(&self) -> bool {
        !self.buffer.is_empty()
    }
}

fn read(block: &Bytes) -> Result<Item, &'static str> {
    if let Some(comment) = block.strip_prefix(b":") {
        return read_comment(comment);
    }
    let (mut id, mut retry, mut data, mut is_message) = (None, None, None, false);
    for line in block.split(|byte| *byte == b'\n') {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => line.split_at(at),
            None => return Err("a line is not a field"),
        };
        let value = value.strip_prefix(b": ").or(value.strip_prefix(b":")).unwrap_or_default();
        let text = || str::from_utf8(value).map_err(|_| "a field is not valid UTF-8");
        match name {
            b"event" if value == b"message" && !is_message => is_message = true,
            b"id" if id.is_none() => {
                id = Some(text()?.parse::<EventId>().map_err(|_| "invalid event id")?);
            }
            b"retry" if retry.is_none() => {
                let millis = text()?.parse().map_err(|_| "retry is not a number")?;
                retry = Some(Duration::from_millis(millis));
            }
            b"data" if data.is_none() => data = Some(block.slice_ref(value)),
            _ => return Err("duplicate or unknown field"),
        }
    }
    match (data, is_message, id) {
        (Some(data), true, id) if retry.is_none() && !data.is_empty() => {
            Ok(Item::Message { id, data })
        }
        (Some(data), false, Some(id)) if data.is_empty() => Ok(Item::Priming { id, retry }),
        (Some(_) | None, _, _) => Err("not a valid event"),
    }
}

fn read_comment(comment: &[u8]) -> Result<Item, &'static str> {
    if comment.is_empty() {
        return Ok(Item::KeepAlive);
    }
    let text = str::from_utf8(comment).map_err(|_| "a comment is not valid UTF-8")?;
    let range = text.strip_prefix(" gap: events ").and_then(|it| it.strip_suffix(" are missing"));
    let (first, last) = range.and_then(|it| it.split_once(" to ")).ok_or("unknown comment")?;
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok(Item::Gap(first..=last)),
        (Ok(_) | Err(_), _) => Err("invalid range of a gap"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, piece: usize) -> Result<Vec<Item>, String> {
        let mut reader = Parser::default();
        let mut items = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            reader.push(bytes);
            while let Some(item) = reader.next_item()? {
                items.push(item);
            }
        }
        assert!(!reader.is_mid_event());
        Ok(items)
    }

    #[test]
    fn parses_chunks_of_any_size() {
        let text = "id: 0/7\nretry: 1500\ndata:\n\n:\n\n: gap: events 1 to 3 are missing\n\n\
                    event: message\nid: 4/7\ndata: {}\n\nevent: message\ndata: []\n\n";
        let id = |text: &str| text.parse::<EventId>().unwrap();
        let retry = Some(Duration::from_millis(1_500));
        let expected = vec![
            Item::Priming { id: id("0/7"), retry },
            Item::KeepAlive,
            Item::Gap(1..=3),
            Item::Message { id: Some(id("4/7")), data: Bytes::from_static(b"{}") },
            Item::Message { id: None, data: Bytes::from_static(b"[]") },
        ];
        for piece in [1, 2, 7, 1_000] {
            assert_eq!(read_all(text, piece).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn rejects_what_this_server_does_not_write() {
        for text in [
            "event: note\ndata: {}\n\n",
            "data: {}\n\n",
            "event: message\ndata:\n\n",
            "event: message\nid: 1/1\nid: 1/1\ndata: {}\n\n",
            "event: message\nid: x\ndata: {}\n\n",
            "event: message\ndata: {}\ndata: {}\n\n",
            "id: 1/1\n\n",
            "retry: soon\ndata:\n\n",
            "retry: 1500\ndata:\n\n",
            "nothing\n\n",
            ": hello\n\n",
            ": gap: events 1 to x are missing\n\n",
        ] {
            assert!(read_all(text, 1_000).is_err(), "{text:?}");
        }
    }
}
