//! How the program ends.

use serde_json::json;

use crate::{client::Client, program::Program};

#[tokio::test]
async fn a_signal_ends_every_connection_and_then_the_program() {
    for signal in ["TERM", "INT"] {
        let program = Program::serve(&[]);
        let client = Client::initialize(&program.address).await;
        let mut call = client.call(1, "nap", json!({ "ms": 600_000 })).await;
        let mut standalone = client.get(None).await;
        assert!(program.end_by(signal).success());
        assert_eq!(call.response().await["error"]["code"], -32603);
        while standalone.next().await.is_some() {}
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let program = Program::serve(&["--drain-timeout", "600s"]);
    let client = Client::initialize(&program.address).await;
    // Nobody reads it, and it does not fit into the buffers of a socket.
    let _flood = client.call(1, "flood", json!({ "events": 1_000_000 })).await;
    program.signal("TERM");
    assert!(program.end_by("TERM").success());
}
