//! The serialized form of records.

use rejoin_core::{Change, ConnectionId, Entry, Failure, FailureReason, Input, Record, StreamId};
use serde_json::Value;

use crate::{
    backend, cancel,
    records::{Recorded, inputs},
    request, server_request,
};

/// The serialized form of a record of each kind. A change of it needs another format number.
const GOLDEN: &str = r#"[
{"sequence":1,"change":{"Opened":{"number":0,"requests":[[7,"t"],["a",null]]}}},
{"sequence":2,"change":{"Logged":{"stream":{"Request":0},"index":1,"entry":{"Message":{"body":5,"bytes":10,"kind":{"Response":7}}}}}},
{"sequence":3,"change":{"Logged":{"stream":"Standalone","index":1,"entry":{"Message":{"body":6,"bytes":0,"kind":"Notification"}}}}},
{"sequence":4,"change":{"Logged":{"stream":{"Request":0},"index":2,"entry":{"Failure":{"id":"a","reason":"BackendGone"}}}}},
{"sequence":4,"change":{"Logged":{"stream":"Standalone","index":2,"entry":{"Message":{"body":7,"bytes":9,"kind":{"Request":"b"}}}}}},
{"sequence":4,"change":{"Missed":{"stream":"Standalone","index":3}}},
{"sequence":5,"change":{"Completed":{"number":0}}},
{"sequence":6,"change":{"Cancelled":{"number":1}}},
{"sequence":6,"change":{"RequestCancelled":{"id":7}}},
{"sequence":6,"change":{"ServerRequestEnded":{"id":7,"is_retracted":true}}},
{"sequence":6,"change":{"TaskCreated":{"token":"t"}}},
{"sequence":6,"change":{"Acknowledged":{"stream":"Standalone","through":3}}}
]"#;

#[test]
fn serialized_form_of_records_is_stable() {
    let records: Vec<Record<u64>> = serde_json::from_str(GOLDEN).unwrap();
    let again: Value = serde_json::to_value(&records).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(GOLDEN).unwrap());
    let failure = Failure { id: "a".try_into().unwrap(), reason: FailureReason::BackendGone };
    let change =
        Change::Logged { stream: StreamId::Request(0), index: 2, entry: Entry::Failure(failure) };
    assert_eq!(records[3], Record { sequence: 4, change });
}

/// Inputs that make a record of each kind.
fn all_kinds() -> Vec<Input<u64>> {
    let mut inputs = inputs();
    inputs.extend([
        server_request("a"),
        Input::Acknowledged { connection: ConnectionId(4), through: 2 },
        cancel(2),
        request(20, 20, Some(20)),
        backend(rejoin_core::Head::Response {
            id: 20.into(),
            initialized: rejoin_core::Initialized::default(),
            creates_task: true,
        }),
        Input::BackendLost,
    ]);
    inputs
}

/// Writes the seeds of the fuzz target that have records.
#[test]
#[ignore = "writes files; run it after changing the format of snapshots or records"]
fn write_seeds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/snapshot");
    let inputs = all_kinds();
    for snapshot_after in [3, 6, 12] {
        let Recorded { snapshot, records, session, .. } = Recorded::new(&inputs, snapshot_after);
        assert!(session.close_reason().is_none());
        let json = serde_json::to_string(&(snapshot, records)).unwrap();
        std::fs::write(folder.join(format!("records-{snapshot_after:02}")), json).unwrap();
    }
}
