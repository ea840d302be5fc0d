//! Resources, and a subscription to one.

use std::time::Duration;

use rejoin_local_client::{next, response};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::connect;

const WATCHED: &str = "test://watched-resource";

#[tokio::test(start_paused = true)]
async fn resources_are_listed_and_read() {
    let client = connect().await;
    let listed = response(client.request(1, "resources/list", json!({})).await).await;
    let mut id = 2;
    for resource in listed["result"]["resources"].as_array().unwrap() {
        let params = json!({ "uri": resource["uri"] });
        let read = response(client.request(id, "resources/read", params).await).await;
        let contents = &read["result"]["contents"][0];
        assert_eq!(contents["uri"], resource["uri"]);
        assert_eq!(contents["mimeType"], resource["mimeType"]);
        assert!(contents["text"].is_string() || contents["blob"].is_string(), "{contents}");
        id += 1;
    }
    assert_eq!(id, 5);
    let templates = response(client.request(5, "resources/templates/list", json!({})).await).await;
    let template = &templates["result"]["resourceTemplates"][0]["uriTemplate"];
    assert_eq!(template, "test://template/{id}/data");
    let params = json!({ "uri": "test://template/123/data" });
    let read = response(client.request(6, "resources/read", params).await).await;
    let text = r#"{"data":"Data for ID: 123","id":"123","templateTest":true}"#;
    assert_eq!(read["result"]["contents"][0]["text"], text);
    let params = json!({ "uri": "test://template//data" });
    let unknown = response(client.request(7, "resources/read", params).await).await;
    assert_eq!(unknown["error"]["code"], -32_002);
}

#[tokio::test(start_paused = true)]
async fn a_resource_changes_while_it_is_subscribed_to() {
    let client = connect().await;
    let mut standalone = client.session.standalone().unwrap();
    let params = json!({ "uri": WATCHED });
    let started = Instant::now();
    for id in 1..=2 {
        let response =
            response(client.request(id, "resources/subscribe", params.clone()).await).await;
        assert_eq!(response["result"], json!({}));
    }
    for n in 1..=3 {
        let update = next(&mut standalone).await.unwrap();
        assert_eq!(update["method"], "notifications/resources/updated");
        assert_eq!(update["params"]["uri"], WATCHED);
        assert_eq!(started.elapsed(), Duration::from_secs(n));
    }
    response(client.request(3, "resources/unsubscribe", params.clone()).await).await;
    let silence = timeout(Duration::from_secs(10), next(&mut standalone)).await;
    assert!(silence.is_err(), "{silence:?}");
    let read = response(client.request(4, "resources/read", params).await).await;
    assert_eq!(read["result"]["contents"][0]["text"], "It has changed 3 times.");
}

#[tokio::test(start_paused = true)]
async fn only_the_watched_resource_can_be_subscribed_to() {
    let client = connect().await;
    let params = json!({ "uri": "test://static-text" });
    let response = response(client.request(1, "resources/subscribe", params).await).await;
    assert_eq!(response["error"]["code"], -32_002);
}
