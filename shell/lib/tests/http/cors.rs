//! CORS headers for web pages.

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};
use rejoin_test_support::Client;

use crate::server::HttpServer;

const ORIGIN: (&str, &str) = ("origin", "http://localhost:5173");

#[tokio::test]
async fn allowed_origin_gets_cors_headers() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    let preflight = new_client.send(Method::OPTIONS, String::new(), &[ORIGIN]).await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(preflight.headers["access-control-allow-origin"], ORIGIN.1);
    assert!(
        preflight.headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("last-event-id")
    );
    assert!(preflight.headers["access-control-allow-methods"].to_str().unwrap().contains("DELETE"));
    let (_, client) = server.session().await;
    let get = client.send(Method::GET, String::new(), &[ORIGIN]).await;
    assert_eq!(get.headers["access-control-allow-origin"], ORIGIN.1);
    assert!(
        get.headers["access-control-expose-headers"].to_str().unwrap().contains("mcp-session-id")
    );
    assert!(get.headers["vary"].to_str().unwrap().contains("origin"));
}

#[tokio::test]
async fn preflight_allows_any_requested_header() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    let wanted = ("access-control-request-headers", "content-type,traceparent,x-api-key");
    let preflight = new_client.send(Method::OPTIONS, String::new(), &[ORIGIN, wanted]).await;
    assert_eq!(preflight.headers["access-control-allow-headers"], wanted.1);
    assert!(preflight.headers["vary"].to_str().unwrap().contains(wanted.0));
    let foreign = ("origin", "http://evil.example");
    let refused = new_client.send(Method::OPTIONS, String::new(), &[foreign, wanted]).await;
    assert!(!refused.headers.contains_key("access-control-allow-headers"));
}

#[tokio::test]
async fn refusal_of_a_foreign_origin_has_no_cors_headers() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    let foreign = [("origin", "http://evil.example")];
    let refused = new_client.send(Method::OPTIONS, String::new(), &foreign).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn cors_headers_are_absent_if_disabled() {
    let mut http = HttpConfig::default();
    http.cors = false;
    let server = HttpServer::start_with(ManagerConfig::default(), http).await;
    let (_, client) = server.session().await;
    let get = client.send(Method::GET, String::new(), &[ORIGIN]).await;
    assert_eq!(get.status, StatusCode::OK);
    assert!(!get.headers.contains_key("access-control-allow-origin"));
}
