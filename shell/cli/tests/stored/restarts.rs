//! What a restart keeps.

use http::StatusCode;
use rejoin_test_support::{Client, engine::Engine, sse::Item};
use serde_json::json;

use crate::{at, engines, read_until, resume, serve};

#[tokio::test]
#[ignore = "downloads a server"]
async fn what_was_sent_is_kept_and_the_session_ends() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let program = serve(&engine, &[]);
        let client = Client::initialize(&program.address).await;
        let mut response = client.call(1, "count", json!({ "total": 3, "interval_ms": 1 })).await;
        let last = read_until(&mut response, 1).await;
        drop(response);
        assert!(program.stop_with("TERM").success());

        let program = serve(&engine, &[]);
        let client = at(&client, &program);
        let (mut resumed, _) = resume(&client, &last).await;
        let messages = resumed.messages().await;
        let progress: Vec<_> = messages.iter().filter_map(Item::progress).collect();
        assert_eq!(progress, [2, 3]);
        assert!(messages.last().unwrap().json().get("result").is_some());
        // The demo server of the process before is gone.
        let refused = client.call(2, "echo", json!({ "message": "a" })).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        // A client that begins anew is served.
        Client::initialize(&program.address).await;
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_reopened_session_goes_on() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let options = ["--takeover", "reopen"];
        let mut program = serve(&engine, &options);
        let mut client = Client::initialize(&program.address).await;
        for restart in 1..=3 {
            assert!(program.stop_with("TERM").success());
            program = serve(&engine, &options);
            client = at(&client, &program);
            let mut response = client.call(restart, "echo", json!({ "message": "a" })).await;
            assert_eq!(response.status, StatusCode::OK);
            assert!(response.response().await.get("result").is_some());
        }
        assert_eq!(client.delete().await.status, StatusCode::NO_CONTENT);
        assert!(program.stop_with("TERM").success());
        program = serve(&engine, &options);
        let client = at(&client, &program);
        // Whether the store has forgotten the session is only clear after a while.
        let (gone, _) = resume(&client, "0").await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_stdio_server_is_initialized_again() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let script = r#"while read -r line; do case "$line" in
            *'"initialize"'*) id=$(echo "$line" | sed 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/')
                echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"a","version":"0"}}}';;
            *'"tools/call"'*) id=$(echo "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
                echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"pid":'$$'}}';;
            esac; done"#;
        let options = ["--takeover", "reopen", "--", "sh", "-c", script];
        let program = serve(&engine, &options);
        let client = Client::initialize(&program.address).await;
        let before = client.call(1, "pid", json!({})).await.response().await;
        assert!(program.stop_with("TERM").success());
        let program = serve(&engine, &options);
        let client = at(&client, &program);
        let after = client.call(2, "pid", json!({})).await.response().await;
        assert!(after["result"]["pid"].is_number(), "{after}");
        assert_ne!(after["result"]["pid"], before["result"]["pid"]);
    }
}
