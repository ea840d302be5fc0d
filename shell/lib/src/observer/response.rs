//! Faults that the response to a request reports.

use memchr::memchr_iter;
use rejoin_core::Head;
use serde_json::Value;

/// A fault that a response reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// An error response with this code.
    Error(i64),
    /// A result with `isError`.
    ToolError,
}

/// Maximum size of a response that is looked into, in bytes: its JSON is parsed as a whole, and takes
/// a multiple of its size meanwhile.
const INSPECTED_BYTES_MAX: usize = 64 << 10;

/// Returns the fault that a response reports, if it does and is not too large.
///
/// A result is only parsed if it has a member `isError` that is `true` anywhere in it.
pub(crate) fn fault(head: &Head, message: &[u8]) -> Option<ResponseFault> {
    if message.len() > INSPECTED_BYTES_MAX {
        return None;
    }
    match head {
        Head::Response { .. } if may_be_tool_error(message) => {
            let message: Value = serde_json::from_slice(message).ok()?;
            let is_error = message.get("result")?.get("isError")?.as_bool()?;
            is_error.then_some(ResponseFault::ToolError)
        }
        Head::Error { .. } => {
            let message: Value = serde_json::from_slice(message).ok()?;
            message.get("error")?.get("code")?.as_i64().map(ResponseFault::Error)
        }
        Head::Response { .. } | Head::Request { .. } | Head::Notification(_) => None,
    }
}

/// Returns whether there is a member `isError` that is `true` anywhere in a message.
fn may_be_tool_error(message: &[u8]) -> bool {
    // The rarest character of the name.
    memchr_iter(b'E', message).any(|at| {
        let (before, from) = message.split_at(at);
        let rest = from.strip_prefix(b"Error\"").unwrap_or_default().trim_ascii_start();
        let value = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        value.starts_with(b"true") && before.ends_with(b"\"is")
    })
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Parsed, parse_head};

    use super::*;

    fn fault(message: &str) -> Option<ResponseFault> {
        let Parsed::Single(head) = parse_head(message.as_bytes(), 1).unwrap() else { panic!() };
        super::fault(&head, message.as_bytes())
    }

    #[test]
    fn only_the_member_of_the_result_makes_a_tool_error() {
        for (result, expected) in [
            (r#"{"content":[],"isError":true}"#, Some(ResponseFault::ToolError)),
            (r#"{"isError" : true}"#, Some(ResponseFault::ToolError)),
            (r#"{"isError":false}"#, None),
            (r#"{"isError":"true"}"#, None),
            (r#"{"structuredContent":{"isError":true},"isError":false}"#, None),
            (r#"{"content":[{"text":"\"isError\":true"}]}"#, None),
            (r#"{"content":[]}"#, None),
        ] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
            assert_eq!(fault(&message), expected, "{result}");
        }
    }

    #[test]
    fn a_large_response_is_not_parsed() {
        let fault_with = |bytes: usize| {
            let text = "x".repeat(bytes);
            fault(&format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":7,"data":"{text}"}}}}"#))
        };
        assert_eq!(fault_with(1_000), Some(ResponseFault::Error(7)));
        assert_eq!(fault_with(INSPECTED_BYTES_MAX), None);
    }

    #[test]
    fn an_error_response_has_its_code() {
        for (error, expected) in [
            (r#"{"code":-32601,"message":"m"}"#, Some(ResponseFault::Error(-32_601))),
            (r#"{"code":1.5,"message":"m"}"#, None),
            ("null", None),
        ] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
            assert_eq!(fault(&message), expected, "{error}");
        }
    }
}
