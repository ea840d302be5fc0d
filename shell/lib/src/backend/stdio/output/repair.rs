//! Repair of messages that are not valid JSON-RPC, but whose meaning is unambiguous.
//!
//! A repair never changes the meaning of a message: control characters in strings are escaped,
//! bytes that are not UTF-8 become U+FFFD, and the envelope of a response is corrected. The
//! contents of a result or an error stay as they are.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use bytes::Bytes;
use rejoin_core::RequestId;
use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, value::RawValue};

/// Maximum number of values that are read from a line.
const VALUES_MAX: usize = 64;

/// The values of a line.
#[derive(Debug, PartialEq)]
pub(super) struct Values {
    /// At most [`VALUES_MAX`]; a non-empty array contributes its entries.
    pub(super) values: Vec<Bytes>,
    /// Text after the last value, and why it is not a value.
    pub(super) rest: Option<(Bytes, String)>,
}

/// Splits a line that is not one message into its values: several in a row, or the entries of an
/// array. Stops at other text, since what follows that may be a log line.
pub(super) fn split_values(line: &[u8]) -> Values {
    let text = escape_controls(&String::from_utf8_lossy(line)).into_owned();
    let mut stream = Deserializer::from_str(&text).into_iter::<&RawValue>();
    let mut values = Vec::new();
    let (end, reason) = loop {
        let end = stream.byte_offset();
        if values.len() >= VALUES_MAX {
            break (end, Some(format!("the line has more than {VALUES_MAX} messages")));
        }
        match stream.next() {
            Some(Ok(value)) => {
                let entries = array_entries(value.get()).unwrap_or_else(|| vec![copy(value.get())]);
                if !entries.is_empty() && !entries.iter().any(|entry| entry.starts_with(b"{")) {
                    break (end, Some("text, not a message".to_owned()));
                }
                values.extend(entries);
            }
            Some(Err(error)) => break (end, Some(describe_error(&text, &error))),
            None => break (end, None),
        }
    };
    let rest = text.get(end..).map(str::trim).unwrap_or_default();
    let rest = reason.filter(|_| !rest.is_empty()).map(|reason| (copy(rest), reason));
    Values { values, rest }
}

/// Returns the entries of an array, or `None` if there are more than [`VALUES_MAX`].
fn array_entries(value: &str) -> Option<Vec<Bytes>> {
    struct Entries;

    impl<'a> Visitor<'a> for Entries {
        type Value = Vec<Bytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = array.next_element::<&RawValue>()? {
                if entries.len() == VALUES_MAX {
                    return Err(A::Error::custom("too many entries"));
                }
                entries.push(copy(entry.get()));
            }
            Ok(entries)
        }
    }

    Deserializer::from_str(value).deserialize_seq(Entries).ok()
}

/// Copies a value, so that it does not keep the memory of the whole line alive.
fn copy(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Describes why a text is not valid JSON.
fn describe_error(text: &str, error: &serde_json::Error) -> String {
    let at = text.get(error.column().saturating_sub(1)..).unwrap_or_default();
    let at = at.strip_prefix('-').unwrap_or(at);
    let number = ["NaN", "Infinity"].into_iter().find(|name| at.starts_with(name));
    match number {
        Some(name) => format!("`{name}` is not valid JSON: column {}", error.column()),
        None if error.is_eof() => "unterminated JSON".to_owned(),
        None => format!("not valid JSON: {error}"),
    }
}

/// Escapes control characters in strings.
fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte.is_ascii_control()) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let (mut is_in_string, mut is_escaped) = (false, false);
    for character in text.chars() {
        if is_in_string && character < ' ' {
            // A backslash before a control character is dropped.
            if is_escaped {
                escaped.pop();
            }
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
            is_escaped = false;
            continue;
        }
        if character == '"' && !is_escaped {
            is_in_string = !is_in_string;
        }
        is_escaped = is_in_string && character == '\\' && !is_escaped;
        escaped.push(character);
    }
    Cow::Owned(escaped)
}

/// Corrects the envelope of a response: `jsonrpc` becomes "2.0", and a null `result` or `error`
/// beside the other one is removed. Returns `None` if the meaning is ambiguous.
pub(super) fn repair_response(value: &[u8]) -> Option<Bytes> {
    let members = members(value)?;
    let unique = |name: &str| -> Option<Option<&RawValue>> {
        let mut values = members.iter().filter(|(member, _)| member == name);
        let value = values.next().map(|(_, value)| *value);
        values.next().is_none().then_some(value)
    };
    let is_null = |value: &RawValue| value.get() == "null";
    let (jsonrpc, id, result, error) =
        (unique("jsonrpc")?, unique("id")??, unique("result")?, unique("error")?);
    let is_response = unique("method")?.is_none() && !is_null(id);
    let is_json_rpc = jsonrpc.is_some() || looks_like_response(&members, error);
    if !is_response || !is_json_rpc {
        return None;
    }
    let redundant = match (result, error) {
        (Some(_), Some(error)) if is_null(error) => Some("error"),
        (Some(result), Some(_)) if is_null(result) => Some("result"),
        (Some(_), Some(_)) | (None, None) => return None,
        (Some(_), None) | (None, Some(_)) => None,
    };
    let kept = members.iter().filter(|(name, _)| name != "jsonrpc" && Some(&**name) != redundant);
    Some(write_object(kept.map(|(name, value)| (&**name, value.get()))))
}

/// Returns whether an object without `jsonrpc` can only be a response.
fn looks_like_response(members: &[(Cow<'_, str>, &RawValue)], error: Option<&RawValue>) -> bool {
    members.iter().all(|(name, _)| matches!(&**name, "id" | "result" | "error"))
        && error.is_none_or(|error| error.get().starts_with('{') || error.get() == "null")
}

/// Replaces the id of a response.
pub(super) fn with_id(value: &[u8], id: &RequestId) -> Option<Bytes> {
    let id = serde_json::to_string(id).ok()?;
    let members = members(value)?;
    let others = members.iter().filter(|(name, _)| name != "jsonrpc" && name != "id");
    let others = others.map(|(name, value)| (&**name, value.get()));
    Some(write_object([("id", id.as_str())].into_iter().chain(others)))
}

/// Writes a JSON-RPC object.
fn write_object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> Bytes {
    let mut object = String::from(r#"{"jsonrpc":"2.0""#);
    for (name, value) in members {
        object.push(',');
        object.push_str(&serde_json::Value::from(name).to_string());
        object.push(':');
        object.push_str(value);
    }
    object.push('}');
    object.into()
}

/// Returns the members of an object, in order.
fn members(value: &[u8]) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    struct Members;

    impl<'a> Visitor<'a> for Members {
        type Value = Vec<(Cow<'a, str>, &'a RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut json = Deserializer::from_slice(value);
    let members = json.deserialize_map(Members).ok()?;
    json.end().ok()?;
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &[u8]) -> (Vec<String>, Option<String>) {
        let Values { values, rest } = split_values(line);
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        (values.iter().map(text).collect(), rest.map(|(_, reason)| reason))
    }

    fn one(value: &str) -> (Vec<String>, Option<String>) {
        (vec![value.to_owned()], None)
    }

    #[test]
    fn control_characters_and_invalid_utf8_are_repaired() {
        assert_eq!(split(b"{\"a\":\"b\tc\x01\"}"), one(r#"{"a":"b\u0009c\u0001"}"#));
        assert_eq!(split(b"{\"a\":\t\"b\\\\\"}"), one("{\"a\":\t\"b\\\\\"}"));
        assert_eq!(split(b"{\"a\":\"b\\\tc\"}"), one(r#"{"a":"b\u0009c"}"#));
        assert_eq!(split(b"{\"a\":\"caf\xe9\"}"), one("{\"a\":\"caf\u{fffd}\"}"));
    }

    #[test]
    fn values_of_a_line_are_split() {
        let two = || (vec!["{}".to_owned(), "{\"a\":1}".to_owned()], None);
        assert_eq!(split(b"{}{\"a\":1}"), two());
        assert_eq!(split(b"{} {\"a\":1} "), two());
        assert_eq!(split(b" [{},{\"a\":1}]"), two());
    }

    #[test]
    fn values_after_other_text_are_ignored() {
        for text in ["[INFO] ", "INFO: ", "12 ", "[12] ", "\"a\" ", "null "] {
            let (values, rest) = split(format!("{text}{{}}{{\"a\":1}}").as_bytes());
            assert!(values.is_empty() && rest.is_some(), "{text}");
        }
        for line in ["{}x", "{} 12 {}", "{} [12] {}", "{}} {}"] {
            let (values, rest) = split(line.as_bytes());
            assert!(values == ["{}"] && rest.is_some(), "{line}");
        }
    }

    #[test]
    fn unreadable_value_has_a_reason() {
        for (line, reason) in [
            (r#"{"a":NaN}"#, "`NaN` is not valid JSON: column 6"),
            (r#"{"a":-Infinity}"#, "`Infinity` is not valid JSON: column 7"),
            (r#"{"a":1"#, "unterminated JSON"),
            ("hello", "not valid JSON: expected value at line 1 column 1"),
        ] {
            let (values, rest) = split(line.as_bytes());
            assert!(values.is_empty(), "{line}");
            let rest = rest.unwrap();
            assert_eq!(rest, reason, "{line}");
        }
    }

    #[test]
    fn envelope_of_a_response_is_corrected() {
        let right = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#;
        for (value, repaired) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#, Some(right)),
            (r#"{"id":1,"error":null,"result":{}}"#, Some(right)),
            (r#"{"id":1,"result":{}}"#, Some(right)),
            (r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, Some(right)),
            (r#"{"jsonrpc":2,"id":1,"result":{}}"#, Some(right)),
            (r#"{"id":1,"result":null,"error":{"code":1,"message":"m"}}"#, Some(error)),
            (r#"{"id":1,"error":{"code":1,"message":"m"}}"#, Some(error)),
            (r#"{"id":1,"result":{},"error":{}}"#, None),
            (r#"{"jsonrpc":"2.0","id":1}"#, None),
            (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, None),
            (r#"{"jsonrpc":"2.0","result":{}}"#, None),
            (r#"{"id":1,"id":1,"result":{}}"#, None),
            (r#"{"id":1,"result":{},"result":{}}"#, None),
            (r#"{"id":1,"method":"a","result":{}}"#, None),
            // Log lines.
            (r#"{"id":1,"error":"refused"}"#, None),
            (r#"{"id":1,"result":"ok","level":"info"}"#, None),
            ("[]", None),
            ("{", None),
        ] {
            let repaired = repaired.map(|text| Bytes::from_static(text.as_bytes()));
            assert_eq!(repair_response(value.as_bytes()), repaired, "{value}");
        }
    }

    #[test]
    fn with_id_replaces_only_the_id() {
        let response = br#"{"id":"1","a":1,"jsonrpc":"2.0","result":{"b" : 1.50}}"#;
        let other = with_id(response, &1.into()).unwrap();
        assert_eq!(other, r#"{"jsonrpc":"2.0","id":1,"a":1,"result":{"b" : 1.50}}"#);
    }
}
