//! Lines of children: invalid, long and unread ones.

use http::{Method, StatusCode};
use rejoin_test_support::{
    Client,
    processes::{group_of, wait_for_group_exit},
    script::{ECHO, group, pid, result, serve},
    sse::Item,
};
use serde_json::{Value, json};

#[tokio::test]
async fn lines_without_a_message_are_dropped() {
    let script = r#"
        echo 'Server running on stdio'
        while receive; do
            printf '\n\r\n{"jsonrpc":"1.0"}\n\377\376\n[]\n{"id":'"$id"'\n'
            respond '{"ok":true}'
        done"#;
    let program = serve(&[], script);
    let client = Client::initialize(&program.address).await;
    for id in 1..4 {
        assert_eq!(result(&client, id, json!({})).await, json!({ "ok": true }));
    }
}

#[tokio::test]
async fn endless_line_affects_only_its_session() {
    let script = r#"
        while receive; do
            case $line in
                *long*) head -c 100000 /dev/zero | tr '\0' x; sleep 1000;;
                *) respond "{\"pid\":$$}";;
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
async fn line_of_the_maximum_length_is_accepted() {
    let around = r#"{"jsonrpc":"2.0","id":1,"result":{"text":""}}"#.len();
    let length = (64 << 10) - around;
    let script = format!(
        r#"receive; respond "{{\"text\":\"$(head -c {length} /dev/zero | tr '\0' x)\"}}"; receive"#
    );
    let program = serve(&["--max-message", "64KiB"], &script);
    let client = Client::initialize(&program.address).await;
    let text = result(&client, 1, json!({})).await["text"].take();
    assert_eq!(text.as_str().unwrap().len(), length);
}

#[tokio::test]
async fn pretty_printed_body_becomes_one_line() {
    let program = serve(&[], ECHO);
    let client = Client::initialize(&program.address).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "a": [1] } });
    let pretty = serde_json::to_string_pretty(&call).unwrap().replace('\n', "\r\n");
    let response = client.send(Method::POST, pretty, &[]).await.response().await;
    assert_eq!(response["result"]["received"], call);
}

#[tokio::test]
async fn child_that_does_not_read_affects_only_its_session() {
    let script = r#"
        while receive; do
            case $line in
                *blocked*) respond "{\"pid\":$$}"; sleep 1000;;
                *) respond '{"ok":true}';;
            esac
        done"#;
    let program = serve(&["--queue-timeout", "100ms", "--stop-timeout", "400ms"], script);
    let other = Client::initialize(&program.address).await;
    let client = Client::initialize(&program.address).await;
    let group = group_of_blocked(&client).await;
    let notification =
        json!({ "jsonrpc": "2.0", "method": "n", "params": { "a": "x".repeat(4_000) } });
    let mut id = 1;
    while client.post(&notification).await.status == StatusCode::ACCEPTED {
        assert_eq!(result(&other, id, json!({})).await, json!({ "ok": true }));
        id += 1;
    }
    assert!(id > 64, "the queue and the pipe hold more than {id} messages");
    assert_eq!(client.post(&notification).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(result(&other, id, json!({})).await, json!({ "ok": true }));
    // Messages that it has not read do not keep it alive.
    assert!(client.delete().await.status.is_success());
    wait_for_group_exit(group).await;
}

async fn group_of_blocked(client: &Client) -> i32 {
    let result = &client.call(1, "blocked", Value::Null).await.response().await["result"];
    group_of(result["pid"].as_i64().unwrap().try_into().unwrap())
}

#[tokio::test]
async fn output_is_delivered_although_the_child_exits_immediately() {
    let script = r#"
        receive
        for n in $(seq 10); do
            echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":'$n'}}'
        done
        respond '{}'"#;
    let program = serve(&[], script);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    let messages = call.messages().await;
    let progress = messages.iter().filter_map(Item::progress);
    assert_eq!(progress.collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(messages.last().unwrap().json()["result"], json!({}));
}
