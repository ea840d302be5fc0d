//! Contradictory snapshots, and the error for each contradiction.

use rejoin_core::{Actions, Input, Session, Snapshot};
use serde_json::Value;

use crate::{at, busy, config, request, run};

/// A change to the JSON of a snapshot, at a JSON pointer.
#[derive(Clone, Copy)]
enum Damage {
    Set(&'static str, &'static str),
    Add(&'static str, &'static str),
    Reverse(&'static str),
}

use Damage::{Add, Reverse, Set};

impl Damage {
    fn apply(self, json: &mut Value) {
        match self {
            Self::Set(pointer, text) => {
                *json.pointer_mut(pointer).unwrap() = serde_json::from_str(text).unwrap();
            }
            Self::Add(pointer, text) => {
                list(json, pointer).push(serde_json::from_str(text).unwrap());
            }
            Self::Reverse(pointer) => list(json, pointer).reverse(),
        }
    }
}

fn list<'a>(json: &'a mut Value, pointer: &str) -> &'a mut Vec<Value> {
    json.pointer_mut(pointer).unwrap().as_array_mut().unwrap()
}

/// Damages the snapshot of a session after `inputs`, and checks the error of restoring it.
fn check(inputs: &[Input<u64>], damages: &[Damage], expected: &str) {
    let mut json = serde_json::to_value(run(inputs.to_vec(), &config()).snapshot()).unwrap();
    for damage in damages {
        damage.apply(&mut json);
    }
    let snapshot = serde_json::from_value::<Snapshot<u64>>(json).unwrap();
    let restored = Session::<u64>::restore(snapshot, config(), at(5_000), &mut Actions::new());
    let error = restored.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.ends_with(expected), "{expected}: {error}");
}

#[test]
fn initialize_has_exactly_one_connection() {
    let initializing = [request(1, 0, None)];
    for (damages, expected) in [
        (&[Set("/state/connections", "[]")][..], "no connection for `initialize`"),
        (
            &[Set("/state/connections/0/role", r#"{"Draining":"Initialize"}"#)],
            "connection is not for `initialize`",
        ),
        (
            &[Set("/state/connections/0/role", r#"{"Draining":{"Removed":{"Request":0}}}"#)],
            "connection is not for `initialize`",
        ),
        (&[Set("/state/phase", r#""New""#)], "connection before `initialize`"),
        (&[Set("/state/timers", "[]")], "timer for `initialize` does not fit the phase"),
        (
            &[Set("/state/drain_retry", r#"{"secs":5,"nanos":0}"#)],
            "session drains before it is initialized",
        ),
    ] {
        check(&initializing, damages, expected);
    }
    for (damages, expected) in [
        (
            &[Set("/state/connections/3/role", r#""Initialize""#)][..],
            "connection for `initialize` is not draining",
        ),
        (
            &[
                Set("/state/connections/1/role", r#""Initialize""#),
                Set("/state/connections/2/role", r#""Initialize""#),
            ],
            "several connections for `initialize`",
        ),
        (
            &[Add("/state/timers", r#"{"target":"Initialize","remaining":null}"#)],
            "timer for `initialize` does not fit the phase",
        ),
    ] {
        check(&busy(), damages, expected);
    }
}

#[test]
fn requests_belong_to_one_stream() {
    const REQUEST: &str = r#"[{"id":9,"token":null,"outcome":"Cancelled"}]"#;
    const STREAM: &str = r#"{"stage":"Standalone","requests":[],"acknowledged":0,
        "silence":{"secs":0,"nanos":0},"is_primed":false,"can_resume":false,"retry_in":null}"#;
    const LOG: &str = r#"["Standalone",{"events":[],"last":0,"missed_through":0,"recorded_bytes":0,"skipped":null}]"#;
    for (damages, expected) in [
        (&[Set("/state/streams/0/requests", REQUEST)][..], "standalone stream has requests"),
        (&[Add("/state/streams", STREAM), Add("/logs", LOG)], "duplicate standalone stream"),
        (&[Set("/state/streams/4/requests/0/token", "5")], "duplicate progress token"),
    ] {
        check(&busy(), damages, expected);
    }
}

#[test]
fn tombstones_and_their_responses_are_ordered() {
    for (damages, expected) in [
        (&[Reverse("/state/tombstones")][..], "tombstones are not ordered by deadline"),
        (&[Set("/state/tombstones/0/number", "4")], "tombstone of an existing stream"),
        (
            &[Set("/state/tombstones/0/responses", "[[1,7]]")],
            "tombstone response index is out of range",
        ),
        (
            &[
                Set("/state/tombstones/0/last", "2"),
                Set("/state/tombstones/0/responses", "[[2,7],[1,8]]"),
            ],
            "tombstone responses are out of order",
        ),
    ] {
        check(&busy(), damages, expected);
    }
}

#[test]
fn timer_entries_are_unique_and_refer_to_something() {
    for (timers, expected) in [
        (&[r#"{"target":{"Cancelled":3},"remaining":null}"#][..], "duplicate cancelled request id"),
        (
            &[r#"{"target":{"Delivery":"z"},"remaining":null}"#],
            "timer of an unknown server request",
        ),
        (&[r#"{"target":{"Delivery":"a"},"remaining":null}"#; 2], "duplicate server request timer"),
    ] {
        let damages: Vec<Damage> = timers.iter().map(|timer| Add("/state/timers", timer)).collect();
        check(&busy(), &damages, expected);
    }
}
