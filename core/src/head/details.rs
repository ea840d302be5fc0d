//! Details of a request, for logs, metrics and traces.

use alloc::{borrow::Cow, boxed::Box};

/// What an operator wants to know of a request, and a session does not need.
///
/// All of it comes from the client: texts are truncated, and otherwise not validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDetails {
    /// The method, at most [`METHOD_BYTES_MAX`](Self::METHOD_BYTES_MAX) bytes of it.
    pub method: Cow<'static, str>,
    /// `params.name` or `params.uri`: the tool, the prompt or the resource; at most
    /// [`TARGET_BYTES_MAX`](Self::TARGET_BYTES_MAX) bytes of it.
    pub target: Option<Box<str>>,
    /// `params._meta.traceparent`, unless it is longer than [`TRACEPARENT_BYTES_MAX`](Self::TRACEPARENT_BYTES_MAX) bytes.
    ///
    /// Specification: W3C Trace Context, "Traceparent Header"; MCP 2026-07-28, Base Protocol,
    /// "_meta".
    pub traceparent: Option<Box<str>>,
    /// `params._meta.tracestate`, unless it is longer than [`TRACESTATE_BYTES_MAX`](Self::TRACESTATE_BYTES_MAX) bytes.
    pub tracestate: Option<Box<str>>,
}

impl RequestDetails {
    /// Maximum number of bytes of a method.
    pub const METHOD_BYTES_MAX: usize = 128;

    /// Maximum number of bytes of a target.
    pub const TARGET_BYTES_MAX: usize = 256;

    /// Maximum number of bytes of a `traceparent`. That of version 00 has 55; later ones may have
    /// more.
    pub const TRACEPARENT_BYTES_MAX: usize = 128;

    /// Maximum number of bytes of a `tracestate`.
    ///
    /// Specification: W3C Trace Context, "Tracestate Header", "Limits".
    pub const TRACESTATE_BYTES_MAX: usize = 512;

    /// Sets the method, truncated.
    pub fn set_method(&mut self, text: &str) {
        self.method = match known_method(text) {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(truncate(text, Self::METHOD_BYTES_MAX).into()),
        };
    }

    /// Sets the target, truncated.
    pub fn set_target(&mut self, text: &str) {
        self.target = Some(truncate(text, Self::TARGET_BYTES_MAX));
    }

    /// Sets the `traceparent`, unless it is too long.
    pub fn set_traceparent(&mut self, text: &str) {
        self.traceparent = whole(text, Self::TRACEPARENT_BYTES_MAX);
    }

    /// Sets the `tracestate`, unless it is too long.
    pub fn set_tracestate(&mut self, text: &str) {
        self.tracestate = whole(text, Self::TRACESTATE_BYTES_MAX);
    }
}

/// Returns a method of MCP, so that it is not copied.
///
/// Specification: MCP 2025-11-25, Schema Reference, `ClientRequest`.
fn known_method(text: &str) -> Option<&'static str> {
    const KNOWN: &[&str] = &[
        "tools/call",
        "tools/list",
        "ping",
        "initialize",
        "resources/read",
        "resources/list",
        "resources/templates/list",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/get",
        "prompts/list",
        "completion/complete",
        "logging/setLevel",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tasks/cancel",
    ];
    KNOWN.iter().find(|known| **known == text).copied()
}

/// Returns the beginning of a text.
fn truncate(text: &str, bytes_max: usize) -> Box<str> {
    let end = text.floor_char_boundary(bytes_max);
    text.get(..end).unwrap_or_default().into()
}

/// Returns a text that is not too long.
fn whole(text: &str, bytes_max: usize) -> Option<Box<str>> {
    (text.len() <= bytes_max).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec, vec::Vec};

    use super::*;
    use crate::{RequestId, parse_head, parse_head_with_details};

    fn details(json: &str) -> Vec<(RequestId, RequestDetails)> {
        let mut found = Vec::new();
        let parsed = parse_head_with_details(json.as_bytes(), 8, &mut |id, details| {
            found.push((id.clone(), details));
        });
        assert_eq!(parsed, parse_head(json.as_bytes(), 8), "{json}");
        found
    }

    fn only(json: &str) -> RequestDetails {
        let mut found = details(json);
        assert_eq!(found.len(), 1, "{json}");
        found.remove(0).1
    }

    #[test]
    fn method_target_and_trace_context_are_found() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        let json = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"arguments":{{"name":"no"}},
            "_meta":{{"traceparent":"{parent}","progressToken":1,"tracestate":"a=1"}},"n\u0061me":"ad\u0064"}}}}"#
        );
        let expected = RequestDetails {
            method: "tools/call".into(),
            target: Some("add".into()),
            traceparent: Some(parent.into()),
            tracestate: Some("a=1".into()),
        };
        assert_eq!(details(&json), [(7.into(), expected)]);
        let read = r#"{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"a:b"}}"#;
        assert_eq!(only(read).target.as_deref(), Some("a:b"));
    }

    #[test]
    fn other_values_are_skipped() {
        let json = r#"{"jsonrpc":"2.0","id":7,"method":"a","params":{"name":{"name":"x"},"uri":5,
            "_meta":{"traceparent":["x"],"tracestate":null}}}"#;
        assert_eq!(only(json), RequestDetails { method: "a".into(), ..RequestDetails::default() });
        for json in [
            r#"{"jsonrpc":"2.0","method":"a","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"name":"x"}}"#,
            r#"{"jsonrpc":"1.0","id":7,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"a""#,
        ] {
            assert_eq!(details(json), vec![], "{json}");
        }
    }

    #[test]
    fn what_is_not_representable_is_no_fault() {
        for name in [r#""\ud800""#, "1e999", "[1e999]"] {
            let json = format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"a","params":{{"name":{name},"_meta":{{"traceparent":{name}}}}}}}"#
            );
            let expected = RequestDetails { method: "a".into(), ..RequestDetails::default() };
            assert_eq!(only(&json), expected, "{name}");
        }
    }

    #[test]
    fn each_request_of_a_batch_has_its_own() {
        let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"},
            {"jsonrpc":"2.0","id":"2","method":"c","params":{"name":"x"}}]"#;
        let found = details(batch);
        let methods: Vec<_> = found.iter().map(|(_, details)| &*details.method).collect();
        assert_eq!(methods, ["a", "c"]);
        assert_eq!(found[1].0, "2".try_into().unwrap());
        assert_eq!(found[1].1.target.as_deref(), Some("x"));
    }

    #[test]
    fn long_texts_are_truncated_or_dropped() {
        let long: String = "é".repeat(1_000);
        let json = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"a{long}","params":{{"name":"{long}",
            "_meta":{{"traceparent":"{long}","tracestate":"{long}"}}}}}}"#
        );
        let details = only(&json);
        assert_eq!(details.method.len(), RequestDetails::METHOD_BYTES_MAX - 1);
        assert_eq!(
            details.target.map(|target| target.len()),
            Some(RequestDetails::TARGET_BYTES_MAX)
        );
        assert_eq!((details.traceparent, details.tracestate), (None, None));
    }
}
