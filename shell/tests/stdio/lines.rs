//! Lines of all kinds.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    client::Client,
    processes::{group_of, wait_for_group_exit},
    script::{ECHO, group, pid, result, serve},
};

#[tokio::test]
async fn lines_that_are_no_message_are_dropped() {
    let script = r#"
        echo 'Server running on stdio'
        while hear; do
            printf '\n\r\n{"jsonrpc":"1.0"}\n\377\376\n[]\n{"id":'"$id"'\n'
            answer '{"ok":true}'
        done"#;
    let program = serve(&[], script);
    let client = Client::initialize(&program.address).await;
    for id in 1..4 {
        assert_eq!(result(&client, id, json!({})).await, json!({ "ok": true }));
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_and_has_no_end_holds_up_its_session_only() {
    let script = r#"
        while hear; do
            case $line in
                *long*) head -c 100000 /dev/zero | tr '\0' x; sleep 1000;;
                *) answer "{\"pid\":$$}";;
            esac
        done"#;
    let program = serve(&["--max-message", "64KiB", "--stop-timeout", "400ms"], script);
    let other = Client::initialize(&program.address).await;
    let client = Client::initialize(&program.address).await;
    let group = group(&client, 1).await;
    let _call = client.call(2, "long", json!({})).await;
    pid(&other, 1).await;
    assert!(client.delete().await.status.is_success());
    wait_for_group_exit(group).await;
    pid(&other, 2).await;
}

#[tokio::test]
async fn a_line_may_be_as_long_as_is_allowed() {
    let around = r#"{"jsonrpc":"2.0","id":1,"result":{"text":""}}"#.len();
    let length = (64 << 10) - around;
    let script = format!(
        r#"hear; answer "{{\"text\":\"$(head -c {length} /dev/zero | tr '\0' x)\"}}"; hear"#
    );
    let program = serve(&["--max-message", "64KiB"], &script);
    let client = Client::initialize(&program.address).await;
    let text = result(&client, 1, json!({})).await["text"].take();
    assert_eq!(text.as_str().unwrap().len(), length);
}

#[tokio::test]
async fn a_pretty_body_is_one_line() {
    let program = serve(&[], ECHO);
    let client = Client::initialize(&program.address).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "a": [1] } });
    let pretty = serde_json::to_string_pretty(&call).unwrap().replace('\n', "\r\n");
    let answer = client.send(Method::POST, pretty, &[]).await.response().await;
    assert_eq!(answer["result"]["heard"], call);
}

#[tokio::test]
async fn a_child_that_does_not_read_disturbs_no_other_session() {
    let script = r#"
        while hear; do
            case $line in
                *deaf*) answer "{\"pid\":$$}"; sleep 1000;;
                *) answer '{"ok":true}';;
            esac
        done"#;
    let program = serve(&["--queue-timeout", "100ms", "--stop-timeout", "400ms"], script);
    let other = Client::initialize(&program.address).await;
    let client = Client::initialize(&program.address).await;
    let group = group_of_deaf(&client).await;
    let note = json!({ "jsonrpc": "2.0", "method": "n", "params": { "a": "x".repeat(4_000) } });
    let mut id = 1;
    while client.post(&note).await.status == StatusCode::ACCEPTED {
        assert_eq!(result(&other, id, json!({})).await, json!({ "ok": true }));
        id += 1;
    }
    assert!(id > 64, "the queue and the pipe take more than {id} messages");
    assert_eq!(client.post(&note).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(result(&other, id, json!({})).await, json!({ "ok": true }));
    // Nor does what it was not told keep it alive.
    assert!(client.delete().await.status.is_success());
    wait_for_group_exit(group).await;
}

async fn group_of_deaf(client: &Client) -> i32 {
    let result = &client.call(1, "deaf", Value::Null).await.response().await["result"];
    group_of(result["pid"].as_i64().unwrap().try_into().unwrap())
}

#[tokio::test]
async fn all_that_a_child_has_said_is_heard_though_it_exits_at_once() {
    let script = r#"
        hear
        for n in $(seq 10); do
            echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":'$n'}}'
        done
        answer '{}'"#;
    let program = serve(&[], script);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    let messages = call.messages().await;
    let progress = messages.iter().filter_map(crate::client::Event::progress);
    assert_eq!(progress.collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(messages.last().unwrap().data["result"], json!({}));
}
