//! Generator of the seeds of the fuzz target for snapshots.

use std::{fs, path::Path, time::Duration};

use rejoin_core::{ConnectionId, Head, Initialized, Input, StreamId};

use crate::{backend, busy, closed, config, progress, request, run};

/// The number of inputs before the snapshot of each seed.
const LENGTHS: [usize; 18] = [1, 5, 9, 13, 17, 21, 25, 26, 27, 28, 29, 30, 31, 33, 35, 37, 38, 39];

/// Writes all seeds.
#[test]
#[ignore = "writes files; run it after changing the format of snapshots"]
fn write() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/snapshot");
    let inputs = inputs();
    for length in LENGTHS {
        let session = run(inputs[..length].to_vec(), &config());
        let json = serde_json::to_string(&session.snapshot()).unwrap();
        fs::write(folder.join(format!("busy-{length:02}")), json).unwrap();
    }
}

/// The inputs of [`busy`], then a task, and disconnected clients with a retry.
fn inputs() -> Vec<Input<u64>> {
    let task =
        Head::Response { id: 20.into(), initialized: Initialized::default(), creates_task: true };
    let retry = Some(Duration::from_secs(5));
    let mut inputs = busy();
    inputs.extend([
        Input::Acknowledged { connection: ConnectionId(0), through: 3 },
        request(20, 20, Some(20)),
        backend(task),
        request(21, 21, Some(21)),
        progress(21),
        Input::Disconnect { stream: StreamId::Request(8), retry },
        closed(21, Some(2)),
        Input::Disconnect { stream: StreamId::Standalone, retry },
        closed(0, Some(3)),
    ]);
    inputs
}
