//! The demo server behind a session manager, in paused time.

mod announcements;
mod arguments;
#[path = "../../../../../tests/rmcp/client.rs"]
mod client;
mod client_requests;
mod conformance;
mod prompts;
mod resources;
mod tools;

use serde_json::Value;

use self::client::Client;

async fn connect() -> Client {
    Client::connect(super::backend()).await
}

/// Returns the text of a successful tool call.
#[track_caller]
fn text(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap()
}

/// Returns the error text of a failed tool call.
#[track_caller]
fn failure(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap()
}
