//! Quiescence: what a session holds when nothing is left to do.

use rejoin_core::StreamId;
use serde_json::Value;

use crate::laws::View;

/// Checks, by the view and the snapshot of a session, that it holds only its standalone stream.
pub(in crate::simulation) fn check_quiescence(view: &View, snapshot: &Value) -> Result<(), String> {
    if view.closed.is_some() {
        return if view.bytes == 0 && view.pending == 0 && view.connections.is_empty() {
            Ok(())
        } else {
            Err(format!("a closed session still holds something: {view:?}"))
        };
    }
    let standalone = view.log(StreamId::Standalone).map_or(0, |log| log.bytes);
    if view.bytes != standalone || view.pending > 0 || !view.connections.is_empty() {
        return Err(format!("an idle session still holds something: {view:?}"));
    }
    let held = |part: &str| snapshot.pointer(&format!("/state/{part}"));
    let expected = [
        ("streams", 1),
        ("tombstones", 0),
        ("connections", 0),
        ("server_requests", 0),
        ("timers", 0),
    ];
    for (part, count) in expected {
        let found = held(part).and_then(Value::as_array).map(Vec::len);
        if found != Some(count) {
            return Err(format!("an idle session has {found:?} {part}: {:?}", held(part)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rejoin_core::SessionCloseReason;
    use serde_json::json;

    use super::*;
    use crate::laws::LogView;

    fn view() -> View {
        let log = LogView {
            stream: StreamId::Standalone,
            last: 3,
            missed: 0,
            events: 1,
            bytes: 200,
            in_flight: Vec::new(),
            newest: None,
        };
        View { bytes: 200, logs: vec![log], ..View::default() }
    }

    fn snapshot() -> Value {
        json!({"state": {
            "streams": [{}], "tombstones": [], "connections": [], "server_requests": [],
            "timers": [],
        }})
    }

    #[test]
    fn accepts_quiescent_session() {
        assert_eq!(check_quiescence(&view(), &snapshot()), Ok(()));
    }

    #[test]
    fn detects_leftovers_in_view() {
        for left in [
            View { bytes: 201, ..view() },
            View { pending: 1, ..view() },
            View { closed: Some(SessionCloseReason::Idle), ..view() },
        ] {
            assert!(check_quiescence(&left, &snapshot()).is_err(), "{left:?}");
        }
    }

    #[test]
    fn detects_leftovers_in_snapshot() {
        for (part, left) in [
            ("streams", json!([{}, {}])),
            ("tombstones", json!([{}])),
            ("connections", json!([{}])),
            ("server_requests", json!([{}])),
            ("timers", json!([{"target": {"Orphan": 3}}])),
        ] {
            let mut snapshot = snapshot();
            snapshot["state"][part] = left;
            assert!(check_quiescence(&view(), &snapshot).is_err(), "{part}");
        }
    }
}
