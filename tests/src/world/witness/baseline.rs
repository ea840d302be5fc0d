//! The baseline: what a session holds when nothing is left to do.

use rejoin_core::StreamId;
use serde_json::{Value, json};

use crate::laws::View;

/// Checks that a session holds nothing but its standalone stream, by what it says of
/// itself and by its snapshot.
pub(in crate::world) fn check_baseline(view: &View, snapshot: &Value) -> Result<(), String> {
    if view.closed.is_some() {
        return if view.bytes == 0 && view.pending == 0 && view.connections.is_empty() {
            Ok(())
        } else {
            Err(format!("closed, it still holds something: {view:?}"))
        };
    }
    let standalone = view.log(StreamId::Standalone).map_or(0, |log| log.bytes);
    if view.bytes != standalone || view.pending > 0 || !view.connections.is_empty() {
        return Err(format!("at rest, it still holds something: {view:?}"));
    }
    let held = |part: &str| snapshot.pointer(&format!("/state/{part}"));
    let expected = [("streams", 1), ("tombstones", 0), ("connections", 0), ("server_requests", 0)];
    for (part, count) in expected {
        let found = held(part).and_then(Value::as_array).map(Vec::len);
        if found != Some(count) {
            return Err(format!("at rest, it holds {found:?} {part}: {:?}", held(part)));
        }
    }
    // An order in which the standalone stream would be evicted.
    let is_order = |waiting: &Value| {
        let what = waiting.pointer("/target");
        what == Some(&json!({"FrontAcknowledged": "Standalone"}))
            || what == Some(&json!({"NonEmpty": "Standalone"}))
    };
    let queues = held("timers").and_then(Value::as_array);
    match queues.and_then(|queues| queues.iter().find(|waiting| !is_order(waiting))) {
        Some(waiting) => Err(format!("at rest, something still waits: {waiting}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::CloseReason;

    use super::*;
    use crate::laws::LogView;

    fn view() -> View {
        let log = LogView {
            stream: StreamId::Standalone,
            last: 3,
            missed: 0,
            events: 1,
            bytes: 200,
            newest: None,
        };
        View { bytes: 200, logs: vec![log], ..View::default() }
    }

    fn snapshot() -> Value {
        json!({"state": {
            "streams": [{}], "tombstones": [], "connections": [], "server_requests": [],
            "timers": [{"target": {"FrontAcknowledged": "Standalone"}}],
        }})
    }

    #[test]
    fn a_session_at_rest_is_fine() {
        assert_eq!(check_baseline(&view(), &snapshot()), Ok(()));
    }

    #[test]
    fn what_is_left_in_memory_is_seen() {
        for left in [
            View { bytes: 201, ..view() },
            View { pending: 1, ..view() },
            View { closed: Some(CloseReason::Idle), ..view() },
        ] {
            assert!(check_baseline(&left, &snapshot()).is_err(), "{left:?}");
        }
    }

    #[test]
    fn what_is_left_in_a_snapshot_is_seen() {
        for (part, left) in [
            ("streams", json!([{}, {}])),
            ("tombstones", json!([{}])),
            ("connections", json!([{}])),
            ("server_requests", json!([{}])),
            ("timers", json!([{"target": {"Orphan": 3}}])),
        ] {
            let mut snapshot = snapshot();
            snapshot["state"][part] = left;
            assert!(check_baseline(&view(), &snapshot).is_err(), "{part}");
        }
    }
}
