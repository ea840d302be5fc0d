//! Division of a line into messages.

use bytes::Bytes;
use rejoin_core::{Head, ParseError, Parsed, parse_head};

use super::repair;
use crate::message;

/// JSON-RPC 2.0, section 5.1.
const PARSE_ERROR: i32 = -32_700;
pub(super) const INVALID_REQUEST: i32 = -32_600;

/// Limits for the messages of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLimits {
    pub(super) batch_max: usize,
    pub(super) depth_max: usize,
}

/// A part of a line: a message, or text that is not one.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Message { head: Head, body: Bytes },
    Unreadable { bytes: Bytes, reason: String, code: i32 },
}

/// Splits a line into messages and unreadable text. Usually it is one message.
pub(super) fn split_line(line: &Bytes, limits: LineLimits) -> Vec<Part> {
    let line = message::strip_byte_order_mark(line.slice_ref(line.trim_ascii()));
    let line = line.slice_ref(line.trim_ascii());
    if line.is_empty() {
        return Vec::new();
    }
    if let Err(error) = message::check_depth(&line, limits.depth_max) {
        return vec![unreadable(line, error.to_string(), INVALID_REQUEST)];
    }
    let message = |head, body| Part::Message { head, body };
    match parse_head(&line, limits.batch_max) {
        Ok(Parsed::Single(head)) => vec![message(head, line)],
        Ok(Parsed::Batch(entries)) => {
            let entries = entries.into_iter();
            entries.map(|entry| message(entry.head, line.slice_ref(entry.bytes))).collect()
        }
        Err(ParseError::BatchTooLong { max }) => {
            let reason = format!("the batch has more than {max} messages");
            vec![unreadable(line, reason, INVALID_REQUEST)]
        }
        Err(_) => split_invalid_line(&line),
    }
}

/// Splits a line that is not valid JSON-RPC.
fn split_invalid_line(line: &[u8]) -> Vec<Part> {
    let repair::Values { values, rest } = repair::split_values(line);
    let values = values.into_iter().map(|value| match parse_value(value) {
        Ok((head, body)) => Part::Message { head, body },
        Err((value, error)) => unreadable(value, error.to_string(), error.code()),
    });
    values.chain(rest.map(|(rest, reason)| unreadable(rest, reason, PARSE_ERROR))).collect()
}

/// Parses a value as a message, or as a response that can be repaired.
fn parse_value(value: Bytes) -> Result<(Head, Bytes), (Bytes, ParseError)> {
    let single = |value: &Bytes| match parse_head(value, 0)? {
        Parsed::Single(head) => Ok(head),
        Parsed::Batch(_) => Err(ParseError::BatchTooLong { max: 0 }),
    };
    match single(&value) {
        Ok(head) => Ok((head, value)),
        Err(error) => {
            let response = repair::repair_response(&value).and_then(|response| {
                let head = single(&response).ok()?;
                Some((head, response))
            });
            response.ok_or((value, error))
        }
    }
}

fn unreadable(bytes: Bytes, reason: String, code: i32) -> Part {
    Part::Unreadable { bytes, reason, code }
}
