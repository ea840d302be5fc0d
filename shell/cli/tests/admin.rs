//! The listener for operators.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "admin/connections.rs"]
mod connections;
#[path = "admin/health.rs"]
mod health;
#[path = "admin/live_page.rs"]
mod live_page;
#[path = "admin/metrics.rs"]
mod metrics;
#[path = "admin/sessions.rs"]
mod sessions;

use std::process::Stdio;

use http::{Method, StatusCode};
use rejoin_test_support::{Client, HttpResponse, LogLines, Program};
use serde_json::Value;

/// A program with a listener for operators.
struct Served {
    program: Program,
    admin: String,
}

impl Served {
    fn start(options: &[&str]) -> Self {
        let mut all = vec!["--admin", "127.0.0.1:0", "--log-format", "json"];
        all.extend(options);
        let mut program = Program::logging_to(Stdio::piped(), &all);
        let line = LogLines::of(&mut program).next_with("listening for operators");
        let line: Value = serde_json::from_str(&line).unwrap();
        Self { program, admin: line["address"].as_str().unwrap().to_owned() }
    }

    async fn admin(&self, method: Method, path: &str, host: &str) -> HttpResponse {
        let client = Client::new(&self.admin).with_path(path);
        client.send(method, String::new(), &[("host", host)]).await
    }

    async fn get(&self, path: &str) -> HttpResponse {
        self.admin(Method::GET, path, &self.admin).await
    }

    async fn text(&self, path: &str) -> String {
        let mut response = self.get(path).await;
        assert_eq!(response.status, StatusCode::OK);
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).unwrap()
    }
}
