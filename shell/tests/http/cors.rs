//! What web pages of allowed origins get.

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};

use crate::{client::Client, host::Host};

const ORIGIN: (&str, &str) = ("origin", "http://localhost:5173");

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_and_read() {
    let host = Host::begin().await;
    let new_client = Client::new(&host.address);
    let asked = new_client.send(Method::OPTIONS, String::new(), &[ORIGIN]).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    assert_eq!(asked.headers["access-control-allow-origin"], ORIGIN.1);
    assert!(
        asked.headers["access-control-allow-headers"].to_str().unwrap().contains("last-event-id")
    );
    assert!(asked.headers["access-control-allow-methods"].to_str().unwrap().contains("DELETE"));
    let (_, client) = host.session().await;
    let get = client.send(Method::GET, String::new(), &[ORIGIN]).await;
    assert_eq!(get.headers["access-control-allow-origin"], ORIGIN.1);
    assert!(
        get.headers["access-control-expose-headers"].to_str().unwrap().contains("mcp-session-id")
    );
    assert!(get.headers["vary"].to_str().unwrap().contains("origin"));
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_any_header() {
    let host = Host::begin().await;
    let new_client = Client::new(&host.address);
    let wanted = ("access-control-request-headers", "content-type,traceparent,x-api-key");
    let asked = new_client.send(Method::OPTIONS, String::new(), &[ORIGIN, wanted]).await;
    assert_eq!(asked.headers["access-control-allow-headers"], wanted.1);
    assert!(asked.headers["vary"].to_str().unwrap().contains(wanted.0));
    let foreign = ("origin", "http://evil.example");
    let refused = new_client.send(Method::OPTIONS, String::new(), &[foreign, wanted]).await;
    assert!(!refused.headers.contains_key("access-control-allow-headers"));
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_even_read_why() {
    let host = Host::begin().await;
    let new_client = Client::new(&host.address);
    let foreign = [("origin", "http://evil.example")];
    let refused = new_client.send(Method::OPTIONS, String::new(), &foreign).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn without_cors_no_page_may_read() {
    let http = HttpConfig { cors: false, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (_, client) = host.session().await;
    let get = client.send(Method::GET, String::new(), &[ORIGIN]).await;
    assert_eq!(get.status, StatusCode::OK);
    assert!(!get.headers.contains_key("access-control-allow-origin"));
}
