//! Message parsing: from bytes to heads and bodies.

use bytes::Bytes;
use memchr::memchr2;
use rejoin_core::{Head, Message, ParseError, Parsed, Post, parse_head};
#[cfg(feature = "http")]
use rejoin_core::{RequestDetails, RequestId, parse_head_with_details};
use thiserror::Error;

use crate::{ClientMessage, nesting};

/// The byte order mark that a UTF-8 text may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses a message of a client, or a batch of at most `batch_max` messages.
///
/// A leading byte order mark is ignored.
///
/// The bodies share the memory of `bytes`. A body with line breaks is copied without them, so
/// that it fits into one line of SSE or stdio.
///
/// # Errors
///
/// The sender is at fault: the bytes are not a valid message.
pub fn parse_message(bytes: Bytes, batch_max: usize) -> Result<Post<ClientMessage>, ParseError> {
    parse_with(bytes, batch_max, ClientMessage::from)
}

/// Parses a message like [`parse_message`], with other bodies.
pub(crate) fn parse_with<M>(
    bytes: Bytes,
    batch_max: usize,
    to_body: impl Fn(Bytes) -> M,
) -> Result<Post<M>, ParseError> {
    let bytes = strip_byte_order_mark(bytes);
    let parsed = slice(parse_head(&bytes, batch_max)?, &bytes);
    Ok(parsed.into_post(bytes, to_body))
}

/// Parses a message like [`parse_message`], and calls `visit` with the details of each request.
#[cfg(feature = "http")]
pub(crate) fn parse_with_details(
    bytes: Bytes,
    batch_max: usize,
    visit: &mut dyn FnMut(&RequestId, RequestDetails),
) -> Result<Post<Bytes>, ParseError> {
    let bytes = strip_byte_order_mark(bytes);
    let parsed = slice(parse_head_with_details(&bytes, batch_max, visit)?, &bytes);
    Ok(parsed.into_post(bytes, |body| body))
}

/// Parsed messages: the only one of its bytes, or those of a batch.
enum Heads {
    Single(Head),
    Batch(Vec<(Head, Bytes)>),
}

fn slice(parsed: Parsed<'_>, bytes: &Bytes) -> Heads {
    match parsed {
        Parsed::Single(head) => Heads::Single(head),
        Parsed::Batch(entries) => {
            let entries = entries.into_iter();
            Heads::Batch(entries.map(|it| (it.head, bytes.slice_ref(it.bytes))).collect())
        }
    }
}

impl Heads {
    fn into_post<M>(self, bytes: Bytes, to_body: impl Fn(Bytes) -> M) -> Post<M> {
        let message = |head, body: Bytes| {
            let Message { head, body, bytes } = with_head(head, body);
            Message { head, body: to_body(body), bytes }
        };
        match self {
            Self::Single(head) => Post::Single(message(head, bytes)),
            Self::Batch(entries) => {
                let entries = entries.into_iter();
                Post::Batch(entries.map(|(head, body)| message(head, body)).collect())
            }
        }
    }
}

/// Removes a leading byte order mark.
///
/// Specification: RFC 8259, section 8.1.
pub(crate) fn strip_byte_order_mark(bytes: Bytes) -> Bytes {
    match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(text) => bytes.slice_ref(text),
        None => bytes,
    }
}

/// The error for JSON that is nested too deeply. Its sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the JSON is nested deeper than {max} levels")]
pub struct TooDeep {
    /// Maximum number of levels.
    pub max: usize,
}

/// Checks that the JSON of a message is not nested too deeply.
pub(crate) fn check_depth(bytes: &[u8], max: usize) -> Result<(), TooDeep> {
    if nesting::is_deeper(bytes, max) { Err(TooDeep { max }) } else { Ok(()) }
}

/// Builds a message from a head and its body, without line breaks.
pub(crate) fn with_head(head: Head, body: Bytes) -> Message<Bytes> {
    let body = to_one_line(body);
    Message { head, bytes: body.len(), body }
}

/// Returns the name and version of the client in an `initialize` request.
pub(crate) fn client_name(message: &[u8]) -> Option<String> {
    let message: serde_json::Value = serde_json::from_slice(message).ok()?;
    let info = message.get("params")?.get("clientInfo")?;
    let part = |name| info.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    Some(format!("{} {}", part("name"), part("version")))
}

/// Replaces line breaks by spaces: in JSON they can only be insignificant whitespace.
fn to_one_line(bytes: Bytes) -> Bytes {
    if memchr2(b'\n', b'\r', &bytes).is_none() {
        return bytes;
    }
    let is_break = |byte: u8| matches!(byte, b'\n' | b'\r');
    bytes.iter().map(|byte| if is_break(*byte) { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(text: &'static str) -> Vec<Bytes> {
        let post = parse_message(Bytes::from_static(text.as_bytes()), 64).unwrap();
        post.messages().iter().map(|message| message.body.clone().into_bytes()).collect()
    }

    #[test]
    fn line_breaks_are_replaced() {
        let pretty = "{\n  \"jsonrpc\": \"2.0\",\r\n  \"method\": \"a\\nb\"\n}";
        assert_eq!(bodies(pretty), ["{   \"jsonrpc\": \"2.0\",    \"method\": \"a\\nb\" }"]);
    }

    #[test]
    fn a_byte_order_mark_is_removed() {
        let message = r#"{"jsonrpc":"2.0","method":"a"}"#;
        assert_eq!(bodies("\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"a\"}"), [message]);
    }

    #[test]
    fn the_bodies_of_a_batch_are_those_of_its_entries() {
        let batch = r#"[{"jsonrpc":"2.0","method":"a"}, {"jsonrpc":"2.0","method":"b"}]"#;
        assert_eq!(
            bodies(batch),
            [r#"{"jsonrpc":"2.0","method":"a"}"#, r#"{"jsonrpc":"2.0","method":"b"}"#]
        );
    }
}
