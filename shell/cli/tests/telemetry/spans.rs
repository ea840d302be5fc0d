//! Spans of requests.

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::{Value, json};

use crate::{
    collector::{hex, text},
    fixture::{PARENT, TRACE, Traced, traced_call, traceparent},
};

const HTTP_TRACE: &str = "1af7651916cd43dd8448eb211c80319c";
const HTTP_PARENT: &str = "10f067aa0ba902b7";

fn http_traceparent() -> String {
    format!("00-{HTTP_TRACE}-{HTTP_PARENT}-01")
}

fn attributes(span: &Span) -> Value {
    let keys = span.attributes.iter().map(|attribute| attribute.key.clone());
    keys.map(|key| (key.clone(), Value::String(text(&span.attributes, &key)))).collect()
}

#[tokio::test]
async fn a_call_is_a_child_of_its_message_and_linked_to_its_http_request() {
    let traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let headers = [("traceparent", &*http_traceparent())];
    let arguments = json!({ "message": "m" });
    traced_call(&client, 7, "echo", arguments, &traceparent(), &headers).await.response().await;
    let span = traced.collector.span("7").await;
    assert_eq!(span.name, "tools/call echo");
    assert_eq!(span.kind(), SpanKind::Server);
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!(span.trace_state, "a=1");
    let links: Vec<_> =
        span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
    assert_eq!(links, [(HTTP_TRACE.to_owned(), HTTP_PARENT.to_owned())]);
    assert_eq!(span.status.clone().unwrap_or_default().code(), StatusCode::Unset);
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    assert_eq!(span.events, []);
    let mut attributes = attributes(&span);
    let session = attributes["mcp.session.id"].take();
    // Not the whole id.
    assert_eq!(session.as_str().unwrap(), client.session().replace('-', "")[..16].to_owned());
    assert_eq!(
        attributes,
        json!({
            "rejoin.server": "default",
            "network.transport": "tcp",
            "network.protocol.name": "http",
            "mcp.method.name": "tools/call",
            "mcp.session.id": null,
            "mcp.protocol.version": "2025-11-25",
            "jsonrpc.request.id": "7",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "echo",
        })
    );
    let resource = traced.collector.received().resource.attributes;
    assert_eq!(text(&resource, "service.name"), "rejoin");
    assert_eq!(text(&resource, "service.version"), env!("CARGO_PKG_VERSION"));
    let initialize = traced.collector.span("0").await;
    assert_eq!(initialize.name, "initialize");
    assert_eq!(text(&initialize.attributes, "mcp.protocol.version"), "2025-11-25");
}

#[tokio::test]
async fn metrics_for_operators_take_nothing_from_the_spans() {
    let traced = Traced::start(&["--admin", "127.0.0.1:0"]).await;
    let client = traced.client().await;
    let headers = [("traceparent", &*http_traceparent())];
    let arguments = json!({ "message": "m" });
    traced_call(&client, 7, "echo", arguments, &traceparent(), &headers).await.response().await;
    let span = traced.collector.span("7").await;
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!(hex(&span.links[0].span_id), HTTP_PARENT);
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
}

#[tokio::test]
async fn without_a_context_in_the_message_that_of_the_http_request_is_the_parent() {
    let traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let ping = json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" });
    let headers = [("traceparent", &*http_traceparent())];
    client.send(http::Method::POST, ping.to_string(), &headers).await.response().await;
    let span = traced.collector.span("p").await;
    assert_eq!(span.name, "ping");
    assert_eq!(
        (hex(&span.trace_id), hex(&span.parent_span_id), span.links.len()),
        (HTTP_TRACE.to_owned(), HTTP_PARENT.to_owned(), 0)
    );
}

#[tokio::test]
async fn a_malformed_context_is_ignored() {
    let traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let malformed = ["", "00-1-1-01", &traceparent().to_uppercase(), &"0".repeat(10_000)];
    for (id, parent) in (1..).zip(malformed) {
        let arguments = json!({ "message": "m" });
        traced_call(&client, id, "echo", arguments, parent, &[]).await.response().await;
        let span = traced.collector.span(&id.to_string()).await;
        assert_eq!(span.parent_span_id, [] as [u8; 0], "{parent}");
        assert_ne!(hex(&span.trace_id), TRACE, "{parent}");
    }
}

#[tokio::test]
async fn what_the_client_does_not_sample_is_not_sent() {
    let traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let unsampled = traceparent().replace("-01", "-00");
    for (id, parent) in [(1, &unsampled), (2, &traceparent()), (3, &unsampled)] {
        let arguments = json!({ "message": "m" });
        traced_call(&client, id, "echo", arguments, parent, &[]).await.response().await;
    }
    let (collector, _) = traced.stop(std::time::Duration::from_secs(10)).await;
    let spans = collector.received().spans;
    let calls: Vec<_> = spans.iter().filter(|span| span.name.starts_with("tools/call")).collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(text(&calls[0].attributes, "jsonrpc.request.id"), "2");
}

#[tokio::test]
async fn failures_have_their_type() {
    let traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let request = |id: i64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let ask = json!({ "name": "ask", "arguments": { "question": "q" } });
    let unknown = json!({ "name": "no such tool", "arguments": {} });
    for (request, name, error, code) in [
        // The client has no elicitation, so the tool fails.
        (request(1, "tools/call", ask), "tools/call", "tool_error", ""),
        (request(2, "tools/call", unknown), "tools/call", "-32602", "-32602"),
        (request(3, "no/such/method", json!({})), "_other", "-32601", "-32601"),
    ] {
        client.post(&request).await.response().await;
        let span = traced.collector.span(&request["id"].to_string()).await;
        assert_eq!(span.name, name);
        assert_eq!(text(&span.attributes, "error.type"), error);
        assert_eq!(text(&span.attributes, "rpc.response.status_code"), code);
        assert_eq!(text(&span.attributes, "mcp.method.name"), request["method"]);
        assert_eq!(span.status.unwrap().code(), StatusCode::Error);
    }
    let called = traced.collector.span("2").await;
    assert_eq!(text(&called.attributes, "gen_ai.tool.name"), "no such tool");
    drop(client.call(4, "count", json!({ "total": 1, "interval_ms": 60_000 })).await);
    assert!(client.delete().await.status.is_success());
    let closed = traced.collector.span("4").await;
    assert_eq!(text(&closed.attributes, "error.type"), "session_closed");
}
