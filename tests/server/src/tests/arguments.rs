//! Invalid tool arguments.

use rejoin_local_client::response;
use serde_json::{Value, json};

use super::{connect, failure};

#[tokio::test(start_paused = true)]
async fn errors_name_the_wrong_argument() {
    let cases: [(&str, Value, &str); 11] = [
        ("echo", json!({}), "the argument `message` is missing"),
        (
            "echo",
            json!({ "message": 1 }),
            "the argument `message` must be a string of at most 524288 bytes",
        ),
        (
            "echo",
            json!({ "message": "x".repeat(524_289) }),
            "the argument `message` must be a string of at most 524288 bytes",
        ),
        ("count", json!({ "total": 1 }), "the argument `interval_ms` is missing"),
        (
            "count",
            json!({ "total": 1_000_001, "interval_ms": 0 }),
            "the argument `total` must be an integer from 1 to 1000000",
        ),
        (
            "count",
            json!({ "total": 1, "interval_ms": -1 }),
            "the argument `interval_ms` must be an integer from 0 to 600000",
        ),
        (
            "ask",
            json!({ "question": null }),
            "the argument `question` must be a string of at most 65536 bytes",
        ),
        (
            "complete",
            json!({ "prompt": [] }),
            "the argument `prompt` must be a string of at most 65536 bytes",
        ),
        ("poll", json!({ "ms": 1.5 }), "the argument `ms` must be an integer from 0 to 600000"),
        (
            "announce",
            json!({ "count": "1", "interval_ms": 1 }),
            "the argument `count` must be an integer from 1 to 100000",
        ),
        (
            "poll",
            json!({ "ms": u64::MAX }),
            "the argument `ms` must be an integer from 0 to 600000",
        ),
    ];
    let client = connect().await;
    for (id, (tool, arguments, why)) in (1..).zip(cases) {
        let response = response(client.call(id, tool, arguments).await).await;
        assert_eq!(failure(&response), why);
    }
}
