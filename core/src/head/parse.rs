//! Parser for the head of a message, or of each message of a batch.

use alloc::vec::Vec;
use core::{fmt, str};

use serde_core::de::{
    DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, SeqAccess, Visitor,
};
use serde_json::{Deserializer, de::StrRead, value::RawValue};

use super::{
    Head, MessageFault, ParseError, RequestDetails,
    classify::{classify, intended_request_id},
    scan::Scan,
    value::ValueKind,
};
use crate::RequestId;

/// The result of [`parse_head`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// One message.
    Single(Head),
    /// A JSON array of at least one message.
    Batch(Vec<BatchEntry<'a>>),
}

/// A message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry<'a> {
    /// The head of the message.
    pub head: Head,
    /// The message, as a part of the bytes of the batch.
    pub bytes: &'a [u8],
}

/// Parses the head of a message, or of each message of a batch.
///
/// Only the members that a session needs are validated; the rest is left to the receiver.
/// The bytes are read once, those of a batch twice. The parser builds no tree, does not
/// recurse into what it skips, and copies only ids.
///
/// A batch may have at most `batch_max` messages; the parser stops at the first one beyond
/// that.
///
/// ```
/// use rejoin_core::{Head, Method, Parsed, RequestId, parse_head};
///
/// let parsed = parse_head(br#"{"jsonrpc": "2.0", "id": 7, "method": "ping"}"#, 64)?;
/// assert_eq!(
///     parsed,
///     Parsed::Single(Head::Request {
///         id: RequestId::from(7),
///         method: Method::Ping,
///         progress_token: None,
///     })
/// );
/// # Ok::<(), rejoin_core::ParseError>(())
/// ```
///
/// # Errors
///
/// Returns a [`ParseError`], which is the sender's fault. With several faults, invalid JSON
/// is reported first, then an empty or too long batch, then the first faulty message.
pub fn parse_head(bytes: &[u8], batch_max: usize) -> Result<Parsed<'_>, ParseError> {
    parse(bytes, batch_max, None)
}

/// Parses heads like [`parse_head`], and calls `visit` with the id and the details of each request,
/// in order. A message that is invalid, and those after it, have none.
///
/// # Errors
///
/// Same as [`parse_head`].
pub fn parse_head_with_details<'a>(
    bytes: &'a [u8],
    batch_max: usize,
    visit: &mut dyn FnMut(&RequestId, RequestDetails),
) -> Result<Parsed<'a>, ParseError> {
    parse(bytes, batch_max, Some(visit))
}

/// Called with the id and the details of each request.
type Visit<'v> = Option<&'v mut dyn FnMut(&RequestId, RequestDetails)>;

fn parse<'a>(
    bytes: &'a [u8],
    batch_max: usize,
    visit: Visit<'_>,
) -> Result<Parsed<'a>, ParseError> {
    // `serde_json` does not look into the strings that it skips.
    let text = str::from_utf8(bytes)
        .map_err(|error| ParseError::NotUtf8 { offset: error.valid_up_to() })?;
    match first_byte(text) {
        Some(b'[') => parse_batch(text, batch_max, visit).map(Parsed::Batch),
        Some(_) => parse_single(text, visit).map(Parsed::Single),
        None => Err(ParseError::Empty),
    }
}

fn first_byte(text: &str) -> Option<u8> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    text.bytes().find(|byte| !is_space(byte))
}

fn parse_single(text: &str, visit: Visit<'_>) -> Result<Head, ParseError> {
    let mut json = Deserializer::from_str(text);
    let details = visit.as_ref().map(|_| RequestDetails::default());
    let mut scan = Scan { details, ..Scan::default() };
    let Ok(kind) = scan.read(&mut json) else {
        validate_json(text)?;
        return Err(MessageFault::Unrepresentable.into());
    };
    expect_end(json)?;
    if kind != ValueKind::Object {
        return Err(MessageFault::NotObject.into());
    }
    let head = classify(&scan)
        .map_err(|fault| ParseError::Message { fault, id: intended_request_id(&scan) })?;
    if let (Some(visit), Some(details), Head::Request { id, .. }) = (visit, scan.details, &head) {
        visit(id, details);
    }
    Ok(head)
}

/// Checks that the text is valid JSON, even if Rust cannot represent all of its values.
#[cold]
fn validate_json(text: &str) -> Result<(), ParseError> {
    let mut json = Deserializer::from_str(text);
    json.deserialize_ignored_any(IgnoredAny).map_err(not_json)?;
    expect_end(json)
}

fn parse_batch<'a>(
    text: &'a str,
    max: usize,
    mut visit: Visit<'_>,
) -> Result<Vec<BatchEntry<'a>>, ParseError> {
    let mut json = Deserializer::from_str(text);
    let mut too_long = false;
    let entries = EntriesVisitor { max, too_long: &mut too_long };
    let entries = json.deserialize_seq(entries);
    if too_long {
        return Err(ParseError::BatchTooLong { max });
    }
    let entries = entries.map_err(not_json)?;
    expect_end(json)?;
    if entries.is_empty() {
        return Err(ParseError::BatchEmpty);
    }
    let entries = entries.into_iter().enumerate();
    let entries = entries.map(|(index, entry)| {
        let visit = visit.as_mut().map(|visit| &mut **visit as _);
        let head = parse_single(entry, visit).map_err(|error| error.in_entry(index))?;
        let bytes = entry.as_bytes();
        Ok(BatchEntry { head, bytes })
    });
    entries.collect()
}

fn expect_end(mut json: Deserializer<StrRead<'_>>) -> Result<(), ParseError> {
    json.end()
        .map_err(|error| ParseError::TrailingBytes { line: error.line(), column: error.column() })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_json(error: serde_json::Error) -> ParseError {
    ParseError::NotJson { line: error.line(), column: error.column() }
}

/// Splits a batch into its entries.
///
/// `RawValue` is the only way in which `serde_json` reports where a value begins and ends.
/// So each entry is parsed a second time for its head; only batches pay for that.
struct EntriesVisitor<'t> {
    max: usize,
    too_long: &'t mut bool,
}

impl<'a> Visitor<'a> for EntriesVisitor<'_> {
    type Value = Vec<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < self.max {
            let Some(entry) = array.next_element::<&RawValue>()? else {
                return Ok(entries);
            };
            entries.push(entry.get());
        }
        array.next_element_seed(OverLimit(self.too_long))?;
        Ok(entries)
    }
}

/// The first entry over the limit, which fails without being parsed.
struct OverLimit<'t>(&'t mut bool);

impl<'a> DeserializeSeed<'a> for OverLimit<'_> {
    type Value = ();

    fn deserialize<D: serde_core::Deserializer<'a>>(self, _: D) -> Result<(), D::Error> {
        *self.0 = true;
        Err(D::Error::custom("too many entries"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString, vec};

    use super::*;
    use crate::{Method, Notification};

    const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

    fn ping() -> Head {
        Head::Request { id: 1.into(), method: Method::Ping, progress_token: None }
    }

    fn check(bytes: impl AsRef<[u8]>, expected: &Result<Parsed<'_>, ParseError>) {
        let bytes = bytes.as_ref();
        assert_eq!(&parse_head(bytes, 2), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn whitespace_is_irrelevant() {
        check(PING, &Ok(Parsed::Single(ping())));
        check(
            "\r\n\t {\"jsonrpc\" :\"2.0\" , \"id\"\n: 1,\"method\":\t\"ping\" } \n",
            &Ok(Parsed::Single(ping())),
        );
    }

    #[test]
    fn invalid_json_is_rejected_with_its_position() {
        let not_json = |line, column| ParseError::NotJson { line, column };
        let trailing = |line, column| ParseError::TrailingBytes { line, column };
        for (bytes, error) in [
            (&b""[..], ParseError::Empty),
            (b" \r\n\t", ParseError::Empty),
            (b"\x0c", not_json(1, 1)),
            (b"\xff", ParseError::NotUtf8 { offset: 0 }),
            (b"{\"a\":\"\xc3\x28\"}", ParseError::NotUtf8 { offset: 6 }),
            (b"\xef\xbb\xbf{}", not_json(1, 1)),
            (b"{", not_json(1, 1)),
            (b"[", not_json(1, 1)),
            (b"nul", not_json(1, 3)),
            (b"{\"a\":1,}", not_json(1, 8)),
            (b"{'a':1}", not_json(1, 2)),
            (b"{\"a\":\n\n  01}", not_json(3, 4)),
            (b"{\"a\":\"\n\"}", not_json(1, 6)),
            (b"{\"a\":NaN}", not_json(1, 6)),
            (b"{\"params\":{\"_meta\":{\"a\" 1}}}", not_json(1, 25)),
            (b"[{},]", not_json(1, 5)),
            (b"[{},{},]", not_json(1, 8)),
            (b"{} {}", trailing(1, 4)),
            (b"{}\n\0", trailing(2, 1)),
            (b"[{}]]", trailing(1, 5)),
            (b"5 5", trailing(1, 3)),
        ] {
            check(bytes, &Err(error.clone()));
            assert_eq!(error.code(), -32_700, "{error}");
            assert_eq!(error.id(), None);
        }
    }

    #[test]
    fn message_must_be_an_object() {
        for json in ["null", "true", "-1.5e3", "\"{}\""] {
            check(json, &Err(MessageFault::NotObject.into()));
        }
    }

    #[test]
    fn batch_entries_refer_to_their_bytes() {
        let batch = format!("[ {PING},\n{{\"jsonrpc\":\"2.0\",\"method\":\"é\" }}\t]");
        let entries = vec![
            BatchEntry { head: ping(), bytes: PING.as_bytes() },
            BatchEntry {
                head: Head::Notification(Notification::Other),
                bytes: "{\"jsonrpc\":\"2.0\",\"method\":\"é\" }".as_bytes(),
            },
        ];
        check(&batch, &Ok(Parsed::Batch(entries)));
    }

    #[test]
    fn empty_long_and_nested_batches_are_rejected() {
        let too_long = ParseError::BatchTooLong { max: 2 };
        let entry = |index, fault| ParseError::Entry { index, fault, id: None };
        for (json, error) in [
            ("[]", ParseError::BatchEmpty),
            (" [ ] ", ParseError::BatchEmpty),
            ("[1,2,3]", too_long.clone()),
            // It is not read any further.
            ("[1,2,{not json", too_long),
            ("[[]]", entry(0, MessageFault::NotObject)),
            (&format!("[{PING},[{PING}]]"), entry(1, MessageFault::NotObject)),
            (&format!("[{PING},{{\"\\ud800\":1}}]"), entry(1, MessageFault::Unrepresentable)),
            (
                r#"[{"jsonrpc":"2.0","id":7,"method":null},5]"#,
                ParseError::Entry {
                    index: 0,
                    fault: MessageFault::MethodNotString,
                    id: Some(7.into()),
                },
            ),
        ] {
            assert_eq!(error.code(), -32_600, "{error}");
            check(json, &Err(error));
        }
        assert_eq!(parse_head(b"[]", 0), Err(ParseError::BatchEmpty));
        assert_eq!(parse_head(b"[1]", 0), Err(ParseError::BatchTooLong { max: 0 }));
        assert_eq!(
            entry(3, MessageFault::NotObject).to_string(),
            "message 3 of the batch: a message must be a JSON object"
        );
    }

    #[test]
    fn nesting_depth_is_irrelevant() {
        use MessageFault::{InvalidId, MethodNotString, NotObject, WrongVersion};
        const DEPTH: usize = 1_000_000;
        let token = "params._meta.progressToken";
        for (open, close, alone) in [("[", "]", NotObject), ("{\"a\":", "}", WrongVersion)] {
            let open = open.repeat(DEPTH);
            let closed = format!("{open}1{}", close.repeat(DEPTH));
            for (json, fault) in [
                (r#"{"a":@,"jsonrpc":"2.0","id":1,"method":"ping"}"#, None),
                (r#"{"jsonrpc":@}"#, Some(WrongVersion)),
                (r#"{"jsonrpc":"2.0","method":"a","id":@}"#, Some(InvalidId { member: "id" })),
                (r#"{"jsonrpc":"2.0","method":@}"#, Some(MethodNotString)),
                (r#"{"jsonrpc":"2.0","method":"a","params":@}"#, None),
                (r#"{"jsonrpc":"2.0","method":"a","params":{"a":@}}"#, None),
                (r#"{"jsonrpc":"2.0","method":"a","params":{"protocolVersion":@}}"#, None),
                (r#"{"jsonrpc":"2.0","method":"a","params":{"progressToken":@}}"#, None),
                (r#"{"jsonrpc":"2.0","method":"a","params":{"_meta":@}}"#, None),
                (r#"{"jsonrpc":"2.0","method":"a","params":{"_meta":{"a":@}}}"#, None),
                (
                    r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":@}}}"#,
                    Some(InvalidId { member: token }),
                ),
                (r#"{"jsonrpc":"2.0","id":1,"result":@}"#, None),
                (r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":@}}"#, None),
                (r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":@}}"#, None),
                (r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"logging":@}}}"#, None),
                (r#"{"jsonrpc":"2.0","error":@}"#, None),
                ("@", Some(alone)),
            ] {
                let whole = json.replace('@', &closed);
                if json != "@" {
                    assert_eq!(fault_of(&whole), fault, "{json}");
                }
                assert_eq!(fault_of(&format!("[{whole}]")), fault, "[{json}]");

                let (cut, _) = json.split_once('@').unwrap();
                for cut in [format!("{cut}{open}"), format!("[{cut}{open}")] {
                    let error = parse_head(cut.as_bytes(), 1).unwrap_err();
                    assert!(matches!(error, ParseError::NotJson { .. }), "{json}: {error}");
                }
            }
        }
    }

    fn fault_of(json: &str) -> Option<MessageFault> {
        match parse_head(json.as_bytes(), 1) {
            Ok(_) => None,
            Err(ParseError::Message { fault, .. } | ParseError::Entry { fault, .. }) => Some(fault),
            Err(error) => panic!("{error}"),
        }
    }
}
