//! Parser for the lines of a child, including invalid ones.

use std::collections::BTreeSet;

use bytes::Bytes;
use rejoin_core::{Head, IdValue, ParseError, Parsed, RequestId, parse_head};

use super::{
    outline::{Id, Outline, OutlineScanner},
    repair,
};
use crate::message;

/// JSON-RPC 2.0, section 5.1.
const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;

/// Limits for the messages of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLimits {
    pub(super) batch_max: usize,
    pub(super) depth_max: usize,
}

/// The client's requests that the child has not answered.
pub(super) trait PendingRequests {
    fn contains(&self, id: &RequestId) -> bool;

    /// Returns the only pending request, if there is exactly one.
    fn only(&self) -> Option<RequestId>;
}

/// A part of a line: a message, or text that is not one.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Message { head: Head, body: Bytes },
    Unreadable { bytes: Bytes, reason: String, code: i32 },
}

/// Maximum number of server requests that one line can cause to be rejected. The errors wait in
/// the queue of the child until it reads them.
const REJECTED_MAX: usize = 64;

/// The requests of both sides that wait for a message that cannot be read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AffectedRequests {
    /// Requests of the client that the text was meant to answer, so that no other response will
    /// follow. At most all pending ones.
    pub(super) failed: BTreeSet<RequestId>,
    /// Requests of the client that the text may have been meant to answer. At most all pending
    /// ones.
    pub(super) uncertain: BTreeSet<RequestId>,
    /// Requests of the child to reject: at most [`REJECTED_MAX`].
    pub(super) rejected: Vec<RequestId>,
    /// Number of rejected requests, including those that [`take`](Self::take) has returned.
    rejections: usize,
    /// Whether a response names a request of the client.
    has_named_request: bool,
    /// Whether there is a response without a readable id.
    has_response_without_id: bool,
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

/// Restores the id of a response to the one that the client sent, if the child has turned a
/// number into a string or the reverse, or has omitted the id of an error.
pub(super) fn restore_request_id(
    head: Head,
    body: Bytes,
    pending: &impl PendingRequests,
) -> (Head, Bytes) {
    let id = match &head {
        Head::Response { id, .. } | Head::Error { id: Some(id) } => find_pending(id, pending),
        Head::Error { id: None } => pending.only(),
        Head::Request { .. } | Head::Notification(_) => None,
    };
    let id = id.filter(|id| Some(id) != answered_request(&head));
    match id.and_then(|id| Some((repair::with_id(&body, &id)?, id))) {
        Some((body, request)) => {
            let mut head = head;
            match &mut head {
                Head::Response { id, .. } => *id = request,
                Head::Error { id } => *id = Some(request),
                Head::Request { .. } | Head::Notification(_) => {}
            }
            (head, body)
        }
        None => (head, body),
    }
}

/// Returns the request that a message answers.
pub(super) fn answered_request(head: &Head) -> Option<&RequestId> {
    match head {
        Head::Response { id, .. } | Head::Error { id: Some(id) } => Some(id),
        Head::Error { id: None } | Head::Request { .. } | Head::Notification(_) => None,
    }
}

/// Returns the pending request with this id, or with this id as a string instead of a number or
/// the reverse.
fn find_pending(id: &RequestId, pending: &impl PendingRequests) -> Option<RequestId> {
    if pending.contains(id) {
        return Some(id.clone());
    }
    let other_form = match id.value() {
        IdValue::Integer(integer) => RequestId::try_from(integer.to_string().as_str()).ok()?,
        IdValue::Text(text) => text.parse::<i64>().ok()?.into(),
    };
    pending.contains(&other_form).then_some(other_form)
}

/// Finds the requests that wait for the messages in unreadable text.
pub(super) fn affected_requests(bytes: &[u8], pending: &impl PendingRequests) -> AffectedRequests {
    let mut affected = AffectedRequests::default();
    OutlineScanner::of(bytes, |outline| affected.add(outline, pending));
    affected.finish(pending);
    affected
}

impl AffectedRequests {
    /// Adds the request that waits for an object, if any. No request waits for a log line.
    pub(super) fn add(&mut self, outline: Outline, pending: &impl PendingRequests) {
        let (is_response, is_request) = (outline.is_response(), outline.is_request());
        let has_content = outline.has_result || outline.has_error;
        match outline.id {
            Id::Known(id) if outline.is_prefixed => {
                let is_uncertain = outline.has_jsonrpc && has_content && is_response;
                let request = is_uncertain.then(|| find_pending(&id, pending)).flatten();
                self.uncertain.extend(request);
            }
            _ if outline.is_prefixed => {}
            Id::Known(id) if is_response => {
                let failed = find_pending(&id, pending);
                self.has_named_request |= failed.is_some();
                self.failed.extend(failed);
            }
            Id::Known(id) if is_request && self.rejections < REJECTED_MAX => {
                self.rejections += 1;
                self.rejected.push(id);
            }
            Id::Absent | Id::Invalid => {
                self.has_response_without_id |= outline.has_jsonrpc && has_content;
            }
            Id::Known(_) | Id::Ambiguous => {}
        }
    }

    /// Takes the requests that were found so far.
    pub(super) fn take(&mut self) -> Self {
        let Self { rejections, has_named_request, has_response_without_id, .. } = *self;
        let rest =
            Self { rejections, has_named_request, has_response_without_id, ..Self::default() };
        std::mem::replace(self, rest)
    }

    /// Handles the end of the line: a response without an id fails the only pending request.
    pub(super) fn finish(&mut self, pending: &impl PendingRequests) {
        if self.has_response_without_id && !self.has_named_request {
            self.failed.extend(pending.only());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: LineLimits = LineLimits { batch_max: 64, depth_max: 16 };

    impl PendingRequests for Vec<RequestId> {
        fn contains(&self, id: &RequestId) -> bool {
            self.as_slice().contains(id)
        }

        fn only(&self) -> Option<RequestId> {
            match self.as_slice() {
                [id] => Some(id.clone()),
                _ => None,
            }
        }
    }

    /// Describes the result of a line as text.
    fn outcome(line: &[u8], pending: &Vec<RequestId>) -> Vec<String> {
        let mut outcome = Vec::new();
        for part in split_line(&Bytes::copy_from_slice(line), LIMITS) {
            match part {
                Part::Message { head, body } => {
                    let (head, body) = restore_request_id(head, body, pending);
                    let again = parse_head(&body, 0).unwrap();
                    assert_eq!(again, Parsed::Single(head), "the head matches the body");
                    outcome.push(String::from_utf8(body.into()).unwrap());
                }
                Part::Unreadable { bytes, reason, .. } => {
                    let AffectedRequests { failed, uncertain, rejected, .. } =
                        affected_requests(&bytes, pending);
                    let failed: Vec<_> = failed.into_iter().collect();
                    for id in failed.iter().chain(&uncertain) {
                        assert!(pending.contains(id));
                    }
                    outcome.push(format!("failed {failed:?} rejected {rejected:?}: {reason}"));
                }
            }
        }
        outcome
    }

    fn check(line: impl AsRef<[u8]>, expected: &[&str]) {
        let line = line.as_ref();
        let outcome = outcome(line, &vec![1.into(), "2".try_into().unwrap()]);
        assert_eq!(outcome.len(), expected.len(), "{}: {outcome:?}", line.escape_ascii());
        for (outcome, expected) in outcome.iter().zip(expected) {
            assert!(outcome.starts_with(expected), "{}: {outcome}", line.escape_ascii());
        }
    }

    const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

    #[test]
    fn repairable_response_is_forwarded() {
        check(RESPONSE, &[RESPONSE]);
        check(format!("\u{feff}{RESPONSE}"), &[RESPONSE]);
        check(format!(" \t{RESPONSE} "), &[RESPONSE]);
        check(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#, &[RESPONSE]);
        check(r#"{"id":1,"result":{}}"#, &[RESPONSE]);
        check(r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, &[RESPONSE]);
        check(r#"{"jsonrpc":"2.0","id":"1","result":{}}"#, &[RESPONSE]);
        check(
            r#"{"jsonrpc":"2.0","id":2,"result":{}}"#,
            &[r#"{"jsonrpc":"2.0","id":"2","result":{}}"#],
        );
        check(
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"b\tc\"}}",
            &[r#"{"jsonrpc":"2.0","id":1,"result":{"a":"b\u0009c"}}"#],
        );
        check(
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"caf\xe9\"}}",
            &["{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"caf\u{fffd}\"}}"],
        );
        let other = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
        check(format!("{RESPONSE}{other}"), &[RESPONSE, other]);
        check(format!("[{RESPONSE},{other}]"), &[RESPONSE, other]);
        check(format!("[{RESPONSE},{{}}]"), &[RESPONSE, "failed [] rejected []"]);
        check(format!("{RESPONSE} done"), &[RESPONSE, "failed [] rejected []"]);
    }

    #[test]
    fn unreadable_response_fails_the_request_that_it_names() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}"#,
            r#"{"jsonrpc":"2.0","result":{"a":-Infinity},"id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"a":{"b":"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"\ud83d":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"1","result":{"a":NaN}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}]"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":"it said "no", twice"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"#,
            &format!("[{RESPONSE}{}]", ",1".repeat(64)),
        ] {
            check(line, &["failed [1] rejected []"]);
        }
        check(
            format!(r#"{RESPONSE}{{"jsonrpc":"2.0","id":"2","result":NaN}}"#),
            &[RESPONSE, r#"failed ["2"] rejected []"#],
        );
    }

    #[test]
    fn unreadable_line_fails_every_request_that_it_names() {
        let ids: Vec<_> = (0..1_000).map(RequestId::from).collect();
        let named: Vec<_> = ids.iter().collect();
        let responses = |end: &str| {
            let responses: Vec<_> = (0..1_000)
                .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{end}}}}}"#))
                .collect();
            format!("[{}]", responses.join(","))
        };
        for line in [responses(""), responses(r#""a":NaN"#), responses("").replace("},{", "}{")] {
            let parts = split_line(&line.into(), LIMITS);
            let ended = parts.iter().flat_map(|part| match part {
                Part::Message { head, .. } => answered_request(head).cloned().into_iter().collect(),
                Part::Unreadable { bytes, .. } => affected_requests(bytes, &ids).failed,
            });
            let ended: BTreeSet<_> = ended.collect();
            assert!(ended.iter().eq(named.iter().copied()), "{}", ended.len());
        }
        let requests = r#"{"jsonrpc":"2.0","id":1,"method":5}"#.repeat(1_000);
        let rejected = affected_requests(requests.as_bytes(), &ids).rejected;
        assert_eq!(rejected.len(), REJECTED_MAX);
    }

    #[test]
    fn response_without_an_id_answers_the_only_request() {
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#;
        let without_id = r#"{"jsonrpc":"2.0","result":{}}"#;
        let one = vec![RequestId::from(1)];
        assert_eq!(
            outcome(error.as_bytes(), &one),
            [r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32700,"message":"?"}}"#]
        );
        assert!(outcome(without_id.as_bytes(), &one)[0].starts_with("failed [1] rejected []"));
        check(error, &[error]);
        check(without_id, &["failed [] rejected []"]);
        // It names another request.
        let other = r#"{"jsonrpc":"2.0","id":9,"result":NaN}"#;
        assert!(outcome(other.as_bytes(), &one)[0].starts_with("failed [] rejected []"));
    }

    #[test]
    fn invalid_request_of_the_child_is_rejected_by_its_id() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":5}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        ] {
            check(line, &["failed [] rejected [1]"]);
        }
    }

    #[test]
    fn log_lines_answer_no_request() {
        let one = vec![RequestId::from(1)];
        for line in [
            "Server running on stdio",
            "[INFO] listening",
            r#"{"level":"error","error":"rejected"}"#,
            r#"{"level":"error","id":1,"error":{"code":"E"}}"#,
            r#"{"level":"info","id":1,"result":{}}"#,
            r#"{"id":1"#,
            r#"{"jsonrpc":"1.0"}"#,
            r#"Sending {"jsonrpc":"2.0","id":1,"result":{"a":"b..."#,
            r#"Heard {"jsonrpc":"2.0","id":1,"method":"a","params":5}"#,
            "Sending { jsonrpc: '2.0', id: 1, result: {} }",
            &format!("LOG {RESPONSE}"),
            &format!("[INFO] {{}}{RESPONSE}"),
            &format!("[1234] {RESPONSE}"),
            &format!("12 {RESPONSE}"),
            &format!("{{}} upstream: {RESPONSE}"),
            "[]",
            "5",
        ] {
            for outcome in outcome(line.as_bytes(), &one) {
                assert!(outcome.starts_with("failed [] rejected []"), "{line}: {outcome}");
            }
        }
        check("", &[]);
        check(" \u{feff} ", &[]);
        check("\u{feff}\r", &[]);
    }

    #[test]
    fn response_after_other_text_is_uncertain() {
        let uncertain = |line: &str| {
            let [Part::Unreadable { bytes, .. }] =
                &split_line(&Bytes::copy_from_slice(line.as_bytes()), LIMITS)[..]
            else {
                panic!("{line}");
            };
            Vec::from_iter(affected_requests(bytes, &vec![1.into()]).uncertain)
        };
        for line in [
            &format!("Loading... {RESPONSE}"),
            &format!("[1234] {RESPONSE}"),
            r#"Sending {"jsonrpc":"2.0","id":1,"result":{"a":"b..."#,
            r#"Sending {"jsonrpc":"2.0","id":"1","error":{}}"#,
        ] {
            assert_eq!(uncertain(line), [1.into()], "{line}");
        }
        for line in [
            "Sending { jsonrpc: '2.0', id: 1, result: {} }",
            r#"Heard {"jsonrpc":"2.0","id":1,"method":"a"}"#,
            r#"Heard {"jsonrpc":"2.0","id":1}"#,
            r#"Heard {"jsonrpc":"2.0","id":9,"result":{}}"#,
            r#"Heard {"id":1,"result":{}}"#,
        ] {
            assert_eq!(uncertain(line), [], "{line}");
        }
    }

    /// Generates pieces of lines that are almost messages.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(RESPONSE.to_owned()),
            prop::sample::select(
                &[
                    "{",
                    "}",
                    "[",
                    "]",
                    ",",
                    ":",
                    "\"",
                    "\\",
                    "\t",
                    "\u{feff}",
                    " ",
                    "NaN",
                    "null",
                    "1",
                    "\"1\"",
                    "\"id\":",
                    "\"jsonrpc\":\"2.0\"",
                    "\"result\":",
                    "\"error\":",
                    "\"method\":",
                    "\"2\"",
                    "{\"id\":1,",
                    "\"\\ud800\"",
                    "é",
                ][..],
            )
            .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_handled(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            outcome(&bytes, &vec![1.into()]);
        }

        #[test]
        fn almost_valid_messages_are_handled(
            pieces in prop::collection::vec(piece(), 0..30),
            cut in any::<prop::sample::Index>(),
        ) {
            let text = pieces.concat();
            let bytes = text.as_bytes();
            let (line, _) = bytes.split_at(cut.index(bytes.len() + 1));
            outcome(line, &vec![1.into(), "2".try_into().unwrap()]);
        }
    }
}
