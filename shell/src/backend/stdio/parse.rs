//! What a line of a child says, also where it breaks the rules.

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

/// What lines are held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLimits {
    pub(super) batch_max: usize,
    pub(super) depth_max: usize,
}

/// The client's requests that a child still has to answer.
pub(super) trait PendingRequests {
    fn contains(&self, id: &RequestId) -> bool;

    /// Returns the only one, if there is but one.
    fn only(&self) -> Option<RequestId>;
}

/// A part of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Message { head: Head, body: Bytes },
    Unreadable { bytes: Bytes, why: String, code: i32 },
}

/// The most requests of a child that are refused because of one line. They wait in its queue
/// until it reads them.
const REFUSED_MAX: usize = 64;

/// What is to be done where no message can be read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AffectedRequests {
    /// The client's requests that this was meant to answer: they have no other answer. At most
    /// all that are unanswered.
    pub(super) failed: BTreeSet<RequestId>,
    /// The client's requests that this may have been meant to answer: at most all that are
    /// unanswered.
    pub(super) uncertain: BTreeSet<RequestId>,
    /// The child's own requests, which it waits for: at most [`REFUSED_MAX`].
    pub(super) refused: Vec<RequestId>,
    /// How many were refused.
    refusals: usize,
    /// Whether a request of the client was named.
    has_named_request: bool,
    /// Whether there is an answer that names no request.
    has_response_without_id: bool,
}

/// Divides a line into what can be read and what cannot. Mostly it is one message.
pub(super) fn split_line(line: &Bytes, limits: LineLimits) -> Vec<Part> {
    let line = message::strip_byte_order_mark(line.slice_ref(line.trim_ascii()));
    let line = line.slice_ref(line.trim_ascii());
    if line.is_empty() {
        return Vec::new();
    }
    if let Err(error) = message::check_depth(&line, limits.depth_max) {
        return vec![unreadable(line, error.to_string(), INVALID_REQUEST)];
    }
    let readable = |head, body| Part::Message { head, body };
    match parse_head(&line, limits.batch_max) {
        Ok(Parsed::Single(head)) => vec![readable(head, line)],
        Ok(Parsed::Batch(entries)) => {
            let entries = entries.into_iter();
            entries.map(|entry| readable(entry.head, line.slice_ref(entry.bytes))).collect()
        }
        Err(ParseError::BatchTooLong { max }) => {
            let why = format!("the batch has more than {max} messages");
            vec![unreadable(line, why, INVALID_REQUEST)]
        }
        Err(_) => split_invalid_line(&line),
    }
}

/// Divides a line that breaks a rule.
fn split_invalid_line(line: &[u8]) -> Vec<Part> {
    let repair::Values { found, rest } = repair::split_values(line);
    let values = found.into_iter().map(|value| match parse_value(value) {
        Ok((head, body)) => Part::Message { head, body },
        Err((value, error)) => unreadable(value, error.to_string(), error.code()),
    });
    values.chain(rest.map(|(rest, why)| unreadable(rest, why, PARSE_ERROR))).collect()
}

/// Reads a value as a message, as an answer whose frame is wrong, or not at all.
fn parse_value(value: Bytes) -> Result<(Head, Bytes), (Bytes, ParseError)> {
    let single = |value: &Bytes| match parse_head(value, 0)? {
        Parsed::Single(head) => Ok(head),
        Parsed::Batch(_) => Err(ParseError::BatchTooLong { max: 0 }),
    };
    match single(&value) {
        Ok(head) => Ok((head, value)),
        Err(error) => {
            let answer = repair::repair_response(&value).and_then(|answer| {
                let head = single(&answer).ok()?;
                Some((head, answer))
            });
            answer.ok_or((value, error))
        }
    }
}

fn unreadable(bytes: Bytes, why: String, code: i32) -> Part {
    Part::Unreadable { bytes, why, code }
}

/// Has an answer name the request that it answers as its client does, where the child has
/// made a string of a number or left the id of an error out.
pub(super) fn restore_request_id(
    head: Head,
    body: Bytes,
    unanswered: &impl PendingRequests,
) -> (Head, Bytes) {
    let id = match &head {
        Head::Response { id, .. } | Head::Error { id: Some(id) } => find_pending(id, unanswered),
        Head::Error { id: None } => unanswered.only(),
        Head::Request { .. } | Head::Notification(_) => None,
    };
    let id = id.filter(|id| Some(id) != answered_request(&head));
    match id.and_then(|id| Some((repair::with_id(&body, &id)?, id))) {
        Some((body, asked)) => {
            let mut head = head;
            match &mut head {
                Head::Response { id, .. } => *id = asked,
                Head::Error { id } => *id = Some(asked),
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

/// Returns the unanswered request that is meant by an id.
fn find_pending(id: &RequestId, unanswered: &impl PendingRequests) -> Option<RequestId> {
    if unanswered.contains(id) {
        return Some(id.clone());
    }
    let other = match id.value() {
        IdValue::Integer(integer) => RequestId::try_from(integer.to_string().as_str()).ok()?,
        IdValue::Text(text) => text.parse::<i64>().ok()?.into(),
    };
    unanswered.contains(&other).then_some(other)
}

/// Finds out which requests wait for what cannot be read.
pub(super) fn affected_requests(
    bytes: &[u8],
    unanswered: &impl PendingRequests,
) -> AffectedRequests {
    let mut consequences = AffectedRequests::default();
    OutlineScanner::of(bytes, |outline| consequences.add(outline, unanswered));
    consequences.finish(unanswered);
    consequences
}

impl AffectedRequests {
    /// Finds out which request waits for an object. None waits for a log line.
    pub(super) fn add(&mut self, outline: Outline, unanswered: &impl PendingRequests) {
        let (is_answer, is_request) = (outline.is_response(), outline.is_request());
        let has_content = outline.has_result || outline.has_error;
        match outline.id {
            Id::Known(id) if outline.is_prefixed => {
                let is_doubted = outline.has_jsonrpc && has_content && is_answer;
                let doubted = is_doubted.then(|| find_pending(&id, unanswered)).flatten();
                self.uncertain.extend(doubted);
            }
            _ if outline.is_prefixed => {}
            Id::Known(id) if is_answer => {
                let failed = find_pending(&id, unanswered);
                self.has_named_request |= failed.is_some();
                self.failed.extend(failed);
            }
            Id::Known(id) if is_request && self.refusals < REFUSED_MAX => {
                self.refusals += 1;
                self.refused.push(id);
            }
            Id::Absent | Id::Invalid => {
                self.has_response_without_id |= outline.has_jsonrpc && has_content;
            }
            Id::Known(_) | Id::Ambiguous => {}
        }
    }

    /// Takes what is to be done already.
    pub(super) fn take(&mut self) -> Self {
        let Self {
            refusals,
            has_named_request: has_named,
            has_response_without_id: has_nameless,
            ..
        } = *self;
        std::mem::replace(
            self,
            Self {
                refusals,
                has_named_request: has_named,
                has_response_without_id: has_nameless,
                ..Self::default()
            },
        )
    }

    /// Hears that the line has ended.
    pub(super) fn finish(&mut self, unanswered: &impl PendingRequests) {
        if self.has_response_without_id && !self.has_named_request {
            self.failed.extend(unanswered.only());
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

    /// What becomes of a line, in words.
    fn outcome(line: &[u8], unanswered: &Vec<RequestId>) -> Vec<String> {
        let mut outcome = Vec::new();
        for part in split_line(&Bytes::copy_from_slice(line), LIMITS) {
            match part {
                Part::Message { head, body } => {
                    let (head, body) = restore_request_id(head, body, unanswered);
                    let again = parse_head(&body, 0).unwrap();
                    assert_eq!(again, Parsed::Single(head), "the head is that of the body");
                    outcome.push(String::from_utf8(body.into()).unwrap());
                }
                Part::Unreadable { bytes, why, .. } => {
                    let AffectedRequests { failed, uncertain: doubted, refused, .. } =
                        affected_requests(&bytes, unanswered);
                    let failed: Vec<_> = failed.into_iter().collect();
                    for id in failed.iter().chain(&doubted) {
                        assert!(unanswered.contains(id));
                    }
                    outcome.push(format!("failed {failed:?} refused {refused:?}: {why}"));
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

    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

    #[test]
    fn an_answer_whose_meaning_is_plain_is_given() {
        check(ANSWER, &[ANSWER]);
        check(format!("\u{feff}{ANSWER}"), &[ANSWER]);
        check(format!(" \t{ANSWER} "), &[ANSWER]);
        check(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#, &[ANSWER]);
        check(r#"{"id":1,"result":{}}"#, &[ANSWER]);
        check(r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, &[ANSWER]);
        check(r#"{"jsonrpc":"2.0","id":"1","result":{}}"#, &[ANSWER]);
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
        check(format!("{ANSWER}{other}"), &[ANSWER, other]);
        check(format!("[{ANSWER},{other}]"), &[ANSWER, other]);
        check(format!("[{ANSWER},{{}}]"), &[ANSWER, "failed [] refused []"]);
        check(format!("{ANSWER} done"), &[ANSWER, "failed [] refused []"]);
    }

    #[test]
    fn what_cannot_be_read_ends_the_call_that_it_names() {
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
            &format!("[{ANSWER}{}]", ",1".repeat(64)),
        ] {
            check(line, &["failed [1] refused []"]);
        }
        check(
            format!(r#"{ANSWER}{{"jsonrpc":"2.0","id":"2","result":NaN}}"#),
            &[ANSWER, r#"failed ["2"] refused []"#],
        );
    }

    #[test]
    fn every_call_that_an_unreadable_line_names_ends() {
        let ids: Vec<_> = (0..1_000).map(RequestId::from).collect();
        let named: Vec<_> = ids.iter().collect();
        let answers = |end: &str| {
            let answers: Vec<_> = (0..1_000)
                .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{end}}}}}"#))
                .collect();
            format!("[{}]", answers.join(","))
        };
        for line in [answers(""), answers(r#""a":NaN"#), answers("").replace("},{", "}{")] {
            let parts = split_line(&line.into(), LIMITS);
            let ended = parts.iter().flat_map(|part| match part {
                Part::Message { head, .. } => answered_request(head).cloned().into_iter().collect(),
                Part::Unreadable { bytes, .. } => affected_requests(bytes, &ids).failed,
            });
            let ended: BTreeSet<_> = ended.collect();
            assert!(ended.iter().eq(named.iter().copied()), "{}", ended.len());
        }
        let requests = r#"{"jsonrpc":"2.0","id":1,"method":5}"#.repeat(1_000);
        let refused = affected_requests(requests.as_bytes(), &ids).refused;
        assert_eq!(refused.len(), REFUSED_MAX);
    }

    #[test]
    fn what_names_no_call_ends_the_only_one() {
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#;
        let nameless = r#"{"jsonrpc":"2.0","result":{}}"#;
        let one = vec![RequestId::from(1)];
        assert_eq!(
            outcome(error.as_bytes(), &one),
            [r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32700,"message":"?"}}"#]
        );
        assert!(outcome(nameless.as_bytes(), &one)[0].starts_with("failed [1] refused []"));
        check(error, &[error]);
        check(nameless, &["failed [] refused []"]);
        // It names another one.
        let other = r#"{"jsonrpc":"2.0","id":9,"result":NaN}"#;
        assert!(outcome(other.as_bytes(), &one)[0].starts_with("failed [] refused []"));
    }

    #[test]
    fn a_request_of_the_child_is_refused_by_its_id() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":5}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        ] {
            check(line, &["failed [] refused [1]"]);
        }
    }

    #[test]
    fn lines_of_a_log_end_no_call() {
        let one = vec![RequestId::from(1)];
        for line in [
            "Server running on stdio",
            "[INFO] listening",
            r#"{"level":"error","error":"refused"}"#,
            r#"{"level":"error","id":1,"error":{"code":"E"}}"#,
            r#"{"level":"info","id":1,"result":{}}"#,
            r#"{"id":1"#,
            r#"{"jsonrpc":"1.0"}"#,
            r#"Sending {"jsonrpc":"2.0","id":1,"result":{"a":"b..."#,
            r#"Heard {"jsonrpc":"2.0","id":1,"method":"a","params":5}"#,
            "Sending { jsonrpc: '2.0', id: 1, result: {} }",
            &format!("LOG {ANSWER}"),
            &format!("[INFO] {{}}{ANSWER}"),
            &format!("[1234] {ANSWER}"),
            &format!("12 {ANSWER}"),
            &format!("{{}} upstream: {ANSWER}"),
            "[]",
            "5",
        ] {
            for outcome in outcome(line.as_bytes(), &one) {
                assert!(outcome.starts_with("failed [] refused []"), "{line}: {outcome}");
            }
        }
        check("", &[]);
        check(" \u{feff} ", &[]);
        check("\u{feff}\r", &[]);
    }

    #[test]
    fn an_answer_behind_other_text_is_doubted() {
        let doubted = |line: &str| {
            let [Part::Unreadable { bytes, .. }] =
                &split_line(&Bytes::copy_from_slice(line.as_bytes()), LIMITS)[..]
            else {
                panic!("{line}");
            };
            Vec::from_iter(affected_requests(bytes, &vec![1.into()]).uncertain)
        };
        for line in [
            &format!("Loading... {ANSWER}"),
            &format!("[1234] {ANSWER}"),
            r#"Sending {"jsonrpc":"2.0","id":1,"result":{"a":"b..."#,
            r#"Sending {"jsonrpc":"2.0","id":"1","error":{}}"#,
        ] {
            assert_eq!(doubted(line), [1.into()], "{line}");
        }
        for line in [
            "Sending { jsonrpc: '2.0', id: 1, result: {} }",
            r#"Heard {"jsonrpc":"2.0","id":1,"method":"a"}"#,
            r#"Heard {"jsonrpc":"2.0","id":1}"#,
            r#"Heard {"jsonrpc":"2.0","id":9,"result":{}}"#,
            r#"Heard {"id":1,"result":{}}"#,
        ] {
            assert_eq!(doubted(line), [], "{line}");
        }
    }

    /// Pieces of which lines are made that are almost messages.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(ANSWER.to_owned()),
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
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            outcome(&bytes, &vec![1.into()]);
        }

        #[test]
        fn nothing_that_is_almost_a_message_does_harm(
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
