//! Generator of the seeds of the fuzz target for logs.

use std::{fs, path::Path, time::Duration};

use rejoin::{SessionHandle, fuzzing};
use rejoin_core::AnswerFormat;
use tokio::time::sleep;

use super::{server, store::TestStore};
use crate::support::post;

/// Writes all seeds.
#[tokio::test(start_paused = true)]
#[ignore = "writes files; run it after changing the format of entries"]
async fn write() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    write_seed(&store, &session, "initialized").await;
    for id in 1..=3 {
        let call =
            format!(r#""id":{id},"method":"a","params":{{"_meta":{{"progressToken":{id}}}}}"#);
        drop(session.request(post(&call), AnswerFormat::Sse).await.unwrap());
        backend.receive().await;
        let progress = r#""method":"notifications/progress","params":{"progressToken":"#;
        backend.send(&format!("{progress}{id}}}")).await;
    }
    backend.send(r#""method":"notifications/message","params":{}"#).await;
    sleep(Duration::from_millis(1)).await;
    write_seed(&store, &session, "pending").await;
    for id in 1..=2 {
        backend.send(&format!(r#""id":{id},"result":{{}}"#)).await;
    }
    sleep(Duration::from_millis(1)).await;
    write_seed(&store, &session, "answered").await;
}

async fn write_seed(store: &TestStore, session: &SessionHandle, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/log");
    let mut seed = Vec::new();
    for entry in store.log(session).await {
        seed.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
        seed.extend_from_slice(&entry);
    }
    assert!(fuzzing::log(&seed), "{name}");
    fs::write(folder.join(name), seed).unwrap();
}
