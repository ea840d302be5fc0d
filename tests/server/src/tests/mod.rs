//! The server behind a session manager, in paused time.

mod announcements;
mod arguments;
mod client_requests;
mod conformance;
mod prompts;
mod resources;
mod tools;

use rejoin_local_client::Client;
use serde_json::Value;

async fn connect() -> Client {
    Client::connect(super::http::backend()).await
}

/// Returns the text of a successful tool call.
#[track_caller]
fn text(response: &Value) -> &str {
    assert_eq!(response["result"]["isError"], false, "{response}");
    response["result"]["content"][0]["text"].as_str().unwrap()
}

/// Returns the error text of a failed tool call.
#[track_caller]
fn failure(response: &Value) -> &str {
    assert_eq!(response["result"]["isError"], true, "{response}");
    response["result"]["content"][0]["text"].as_str().unwrap()
}
