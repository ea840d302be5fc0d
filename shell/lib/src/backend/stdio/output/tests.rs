//! Tests of lines that are not valid JSON-RPC.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use rejoin_core::{Parsed, RequestId, parse_head};

use super::{
    affected::{AffectedRequests, REJECTED_MAX},
    pending::{PendingRequests, answered_request, restore_request_id},
    split::{LineLimits, Part, split_line},
};

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
                    AffectedRequests::of(&bytes, pending);
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
            Part::Unreadable { bytes, .. } => AffectedRequests::of(bytes, &ids).failed,
        });
        let ended: BTreeSet<_> = ended.collect();
        assert!(ended.iter().eq(named.iter().copied()), "{}", ended.len());
    }
    let requests = r#"{"jsonrpc":"2.0","id":1,"method":5}"#.repeat(1_000);
    let rejected = AffectedRequests::of(requests.as_bytes(), &ids).rejected;
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
        Vec::from_iter(AffectedRequests::of(bytes, &vec![1.into()]).uncertain)
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
