//! The metadata of the protected resource, and what web pages can read.

use http::{Method, StatusCode};
use rejoin_test_support::Client;
use serde_json::{Value, json};

use crate::{
    issuer::{Issuer, PUBLIC_URL},
    raw,
    signer::{SCOPE, Signer},
};

const METADATA: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn metadata_is_served_without_authentication() {
    let issuer = Issuer::start(vec![Signer::ed25519().jwk("ed")]).await;
    let program = issuer.program(&["--path", "/tools/mcp"]);
    for path in [METADATA.to_owned(), format!("{METADATA}/tools/mcp")] {
        let response = raw::get(&program.address, &path, &[]).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        let (_, body) = response.text.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let expected = json!({
            "resource": format!("{PUBLIC_URL}/tools/mcp"),
            "authorization_servers": [issuer.url],
            "scopes_supported": [SCOPE],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(body, expected);
    }
    for path in ["/other", "/tools/mcpx", "s"] {
        let response = raw::get(&program.address, &format!("{METADATA}{path}"), &[]).await;
        assert_eq!(response.status, 404, "{path}");
    }
    let challenged = raw::get(&program.address, "/tools/mcp/", &[]).await;
    let challenge = challenged.header("www-authenticate").unwrap();
    assert!(challenge.contains(&format!("\"{PUBLIC_URL}{METADATA}/tools/mcp\"")), "{challenge}");
}

#[tokio::test]
async fn each_server_of_a_file_has_metadata() {
    let issuer = Issuer::start(vec![Signer::ed25519().jwk("ed")]).await;
    let servers = json!({ "mcpServers": { "a": { "command": "cat" }, "b": { "command": "cat" } } });
    let file = crate::keys::file(&servers.to_string());
    let program = issuer.program(&["--servers", file.path().to_str().unwrap()]);
    for name in ["a", "b"] {
        let path = format!("/servers/{name}/mcp");
        let challenged = raw::get(&program.address, &path, &[]).await;
        assert_eq!(challenged.status, 401, "{path}");
        let url = format!("{PUBLIC_URL}{METADATA}{path}");
        let challenge = challenged.header("www-authenticate").unwrap();
        assert!(challenge.contains(&format!("resource_metadata=\"{url}\"")), "{challenge}");
        let metadata = raw::get(&program.address, &format!("{METADATA}{path}"), &[]).await;
        assert_eq!(metadata.status, 200, "{path}");
        assert!(metadata.text.contains(&format!("\"resource\":\"{PUBLIC_URL}{path}\"")));
    }
    for path in ["", "/servers/c/mcp", "/mcp"] {
        let metadata = raw::get(&program.address, &format!("{METADATA}{path}"), &[]).await;
        assert_eq!(metadata.status, 404, "no such server: {path}");
    }
}

#[tokio::test]
async fn web_pages_can_read_the_challenge() {
    let issuer = Issuer::start(vec![Signer::ed25519().jwk("ed")]).await;
    let program = issuer.program(&[]);
    let client = Client::new(&program.address);
    let origin = ("origin", "http://localhost:5173");
    let preflight = client.send(Method::OPTIONS, String::new(), &[origin]).await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    let challenged = client.send(Method::GET, String::new(), &[origin]).await;
    assert_eq!(challenged.status, StatusCode::UNAUTHORIZED);
    assert_eq!(challenged.headers["access-control-allow-origin"], origin.1);
    let exposed = challenged.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
    for foreign in [("origin", "http://evil.example"), ("host", "evil.example")] {
        let refused = client.send(Method::GET, String::new(), &[foreign]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "before authentication");
    }
}

#[tokio::test]
async fn without_authentication_nothing_is_challenged() {
    let program = rejoin_test_support::Program::serve(&[]);
    assert_eq!(raw::get(&program.address, "/mcp", &[]).await.status, 404);
    assert_eq!(raw::get(&program.address, METADATA, &[]).await.status, 404);
    let ignored = b"authorization: Basic x".as_slice();
    assert_eq!(raw::get(&program.address, "/mcp?access_token=a", &[ignored]).await.status, 404);
}
