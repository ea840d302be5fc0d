//! The parser of message heads, compared with a parser that builds a tree.

use std::str;

use rejoin_core::{
    Head, ID_BYTES_MAX, IdValue, Initialized, MessageFault, Method, Notification, ParseError,
    Parsed, ProtocolVersion, RequestId,
};
use serde_json::{Value, value::RawValue};

/// Parses the heads in `data`, and compares them with those of `serde_json`.
///
/// # Panics
///
/// Panics if the two parsers disagree.
pub fn head(data: &[u8]) {
    let parsed = rejoin_core::parse_head(data, usize::MAX);
    let is_json =
        str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    match &parsed {
        Ok(_) => assert!(is_json),
        Err(error) => assert_eq!(error.code() == -32_600, is_json, "{error}"),
    }

    let mut requests = Vec::new();
    let detailed = rejoin_core::parse_head_with_details(data, usize::MAX, &mut |id, _| {
        requests.push(id.clone());
    });
    assert_eq!(detailed, parsed);
    assert!(detailed.is_err() || requests == requests_of(&parsed));

    let limited = rejoin_core::parse_head(data, 2);
    if limited != Err(ParseError::BatchTooLong { max: 2 }) {
        assert_eq!(limited, parsed);
    }

    let tree = tree_of(data);
    match parsed {
        Ok(Parsed::Single(head)) => {
            if let Some(tree) = tree {
                check_head(&head, data, &tree);
            }
        }
        Ok(Parsed::Batch(entries)) => {
            assert!(!entries.is_empty());
            let mut rest = data.as_ptr_range();
            for entry in &entries {
                let range = entry.bytes.as_ptr_range();
                assert!(rest.start < range.start && range.end < rest.end);
                rest.start = range.end;

                let parsed_alone = rejoin_core::parse_head(entry.bytes, 0);
                assert_eq!(parsed_alone, Ok(Parsed::Single(entry.head.clone())));
            }
            if let Some(tree) = tree {
                let trees = tree.as_array().map(Vec::as_slice).unwrap_or_default();
                assert_eq!(trees.len(), entries.len());
                for (entry, tree) in entries.iter().zip(trees) {
                    assert_eq!(tree_of(entry.bytes).as_ref(), Some(tree));
                    check_head(&entry.head, entry.bytes, tree);
                }
            }
        }
        Err(ParseError::Message { fault, .. }) => {
            if let Some(tree) = tree {
                check_fault(fault, data, &tree);
            }
        }
        Err(ParseError::Entry { index, fault, .. }) => {
            if let Some(tree) = tree.as_ref().and_then(|tree| tree.get(index)) {
                check_fault(fault, data, tree);
            }
        }
        Err(ParseError::BatchEmpty) => assert_eq!(tree, Some(Value::Array(Vec::new()))),
        Err(
            ParseError::BatchTooLong { .. }
            | ParseError::Empty
            | ParseError::NotUtf8 { .. }
            | ParseError::NotJson { .. }
            | ParseError::TrailingBytes { .. },
        ) => assert_eq!(tree, None),
        Err(error) => unreachable!("an error that is not listed: {error}"),
    }
}

/// Returns the ids of the requests.
fn requests_of(parsed: &Result<Parsed<'_>, ParseError>) -> Vec<RequestId> {
    let heads: Vec<&Head> = match parsed {
        Ok(Parsed::Single(head)) => vec![head],
        Ok(Parsed::Batch(entries)) => entries.iter().map(|entry| &entry.head).collect(),
        Err(_) => Vec::new(),
    };
    let ids = heads.into_iter().map(|head| match head {
        Head::Request { id, .. } => Some(id.clone()),
        Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
    });
    ids.flatten().collect()
}

/// Builds a tree, if possible: a `Value` does not represent all valid JSON, nor any depth.
fn tree_of(json: &[u8]) -> Option<Value> {
    // A member of such a name makes `serde_json` parse a string as JSON.
    let marker = b"$serde_json::private::";
    if json.windows(marker.len()).any(|window| window == marker) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Checks a head against a tree.
fn check_head(head: &Head, json: &[u8], tree: &Value) {
    assert_eq!(tree.get("jsonrpc"), Some(&Value::from("2.0")));
    let id = tree.get("id");
    let method = tree.get("method").and_then(Value::as_str);
    let params = |name| tree.get("params").and_then(|params| params.get(name));
    match head {
        Head::Request { id: found, method: kind, progress_token } => {
            assert!(is(found.value(), id));
            match kind {
                Method::Initialize { version } => {
                    assert_eq!(method, Some("initialize"));
                    check_version(*version, json, params("protocolVersion"));
                }
                Method::Ping => assert_eq!(method, Some("ping")),
                Method::Other => {
                    assert!(!matches!(method, None | Some("initialize" | "ping")));
                }
            }
            let token = params("_meta").and_then(|meta| meta.get("progressToken"));
            match progress_token {
                Some(found) => assert!(is(found.value(), token)),
                None => assert!(token.is_none_or(Value::is_null)),
            }
        }
        Head::Notification(notification) => {
            assert_eq!(id, None);
            match notification {
                Notification::Progress { token } => {
                    assert_eq!(method, Some("notifications/progress"));
                    assert!(is(token.value(), params("progressToken")));
                }
                Notification::Cancelled { request } => {
                    assert_eq!(method, Some("notifications/cancelled"));
                    assert!(is(request.value(), params("requestId")));
                }
                Notification::Log => assert_eq!(method, Some("notifications/message")),
                Notification::Other => match method {
                    Some("notifications/progress") => {
                        assert!(params("progressToken").is_none_or(Value::is_null));
                    }
                    Some("notifications/cancelled") => {
                        assert!(params("requestId").is_none_or(Value::is_null));
                    }
                    method => assert!(!matches!(method, None | Some("notifications/message"))),
                },
            }
        }
        Head::Response {
            id: found,
            initialized: Initialized { version, logging },
            creates_task,
        } => {
            assert!(is(found.value(), id));
            assert_eq!((method, tree.get("error")), (None, None));
            let result = tree.get("result");
            assert!(result.is_some());
            let expected = result.and_then(|result| result.get("protocolVersion"));
            check_version(*version, json, expected);
            let expected = result
                .and_then(|result| result.get("capabilities"))
                .and_then(|capabilities| capabilities.get("logging"))
                .is_some_and(|logging| !logging.is_null());
            if *logging || is_unique("capabilities", json) && is_unique("logging", json) {
                assert_eq!(*logging, expected);
            }
            let expected =
                result.and_then(|result| result.get("task")).is_some_and(Value::is_object);
            if *creates_task || is_unique("task", json) {
                assert_eq!(*creates_task, expected);
            }
        }
        Head::Error { id: found } => {
            assert_eq!((method, tree.get("result")), (None, None));
            assert!(tree.get("error").is_some());
            match found {
                Some(found) => assert!(is(found.value(), id)),
                None => assert!(id.is_none_or(Value::is_null)),
            }
        }
    }
}

/// Checks that a tree has this fault.
fn check_fault(fault: MessageFault, json: &[u8], tree: &Value) {
    let has = |name| tree.get(name).is_some();
    let at = |member: &str| member.split('.').try_fold(tree, |tree, name| tree.get(name));
    match fault {
        MessageFault::NotObject => assert!(!tree.is_object()),
        // A tree keeps the last of two members.
        MessageFault::Duplicate { member } => assert!(at(member).is_some()),
        MessageFault::WrongVersion => assert_ne!(tree.get("jsonrpc"), Some(&Value::from("2.0"))),
        MessageFault::NoMethodOrResult => {
            assert!(!has("method") && !has("result") && !has("error"));
        }
        MessageFault::MethodWithResult => {
            assert!(has("method") && (has("result") || has("error")));
        }
        MessageFault::ResultAndError => assert!(has("result") && has("error")),
        MessageFault::MethodNotString => assert!(!at("method").is_some_and(Value::is_string)),
        MessageFault::ParamsNotStructured => {
            let params = at("params");
            let is_structured =
                |params: &Value| params.is_object() || params.is_array() || params.is_null();
            assert!(params.is_some_and(|params| !is_structured(params)));
        }
        MessageFault::RequestIdNull => assert_eq!(at("id"), Some(&Value::Null)),
        MessageFault::ResponseWithoutId => assert!(at("id").is_none_or(Value::is_null)),
        MessageFault::InvalidId { member } => {
            let id = at(member);
            assert!(id.is_some_and(|id| !id.is_string() && !id.is_i64()));
            if let Some(float) = id.and_then(Value::as_f64)
                && !is_rounded(float, json)
            {
                assert!(float.fract() != 0.0 || float.abs() > FLOAT_MAX);
            }
        }
        MessageFault::IdTooLong { member } => {
            let id = at(member).and_then(Value::as_str);
            assert!(id.is_some_and(|id| id.len() > ID_BYTES_MAX));
        }
        // There is no tree in these cases.
        MessageFault::Unrepresentable | MessageFault::NotUnicode { .. } => unreachable!("{fault}"),
        _ => unreachable!("a fault that is not listed: {fault}"),
    }
}

/// Returns whether a tree has this id or progress token.
fn is(found: &IdValue, value: Option<&Value>) -> bool {
    match (found, value) {
        (IdValue::Integer(found), Some(Value::Number(number))) => {
            number.as_i64() == Some(*found)
                || number.as_f64().is_some_and(|float| is_close(*found, float))
        }
        (IdValue::Text(found), Some(Value::String(text))) => **found == **text,
        _ => false,
    }
}

/// Returns whether they are equal, apart from the rounding of floats by `serde_json`.
#[expect(clippy::cast_precision_loss, reason = "larger integers are not compared here")]
fn is_close(integer: i64, float: f64) -> bool {
    let integer = integer as f64;
    (integer - float).abs() <= integer.abs() * f64::EPSILON
}

/// The maximum magnitude of an id that is written as a float: 2^53.
const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// Returns whether an integral float may have been rounded from a number that is not.
fn is_rounded(float: f64, json: &[u8]) -> bool {
    let is_long = |digits: &[u8]| digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    float == 0.0 || json.windows(17).any(is_long)
}

/// Checks the protocol version in a tree.
fn check_version(found: Option<ProtocolVersion>, json: &[u8], expected: Option<&Value>) {
    let expected = expected.and_then(Value::as_str).and_then(ProtocolVersion::new);
    if found.is_some() || is_unique("protocolVersion", json) {
        assert_eq!(found, expected);
    }
}

/// Returns whether a member of this name is certainly unique.
///
/// A tree keeps the last of two members; the head has neither.
fn is_unique(name: &str, json: &[u8]) -> bool {
    let is_name = |window: &&[u8]| *window == name.as_bytes();
    !json.contains(&b'\\') && json.windows(name.len()).filter(is_name).count() <= 1
}
