//! The ids of spans in the log.

use serde_json::json;

use crate::{
    collector::hex,
    fixture::{TRACE, Traced, traced_call, traceparent},
};

#[tokio::test]
async fn log_lines_of_a_request_have_the_ids_of_its_span() {
    let mut traced = Traced::start(&["--log-level", "trace"]).await;
    let client = traced.client().await;
    let arguments = json!({ "total": 10, "interval_ms": 20 });
    let mut call = traced_call(&client, 1, "count", arguments, &traceparent(), &[]).await;
    call.message().await.unwrap();
    let seen = call.last_event_id.clone().unwrap();
    let mut lines = Vec::new();
    loop {
        let begun = traced.logged("request began").await;
        if begun["id"] == "1" {
            lines.push(begun);
            break;
        }
    }
    drop(call);
    lines.push(traced.logged("connection lost").await);
    client.get(Some(&seen)).await.response().await;
    lines.push(traced.logged("stream resumed").await);
    lines.push(traced.logged("request ended").await);
    let span = traced.collector.span("1").await;
    for line in lines {
        assert_eq!(line["trace_id"], TRACE, "{line}");
        assert_eq!(line["span_id"], hex(&span.span_id), "{line}");
    }
    let closed = client.delete().await;
    assert!(closed.status.is_success());
    assert_eq!(traced.logged("session closed").await.get("trace_id"), None);
}
