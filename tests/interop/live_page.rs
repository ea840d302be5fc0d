//! The live page in a browser: what it draws of an idle, a busy, a broken and a slow session, and
//! of one whose client is away.

use std::{env, path::PathBuf};

use rejoin_test_support::{Client, HttpResponse, Program, program_path};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{install, process};

/// A program with a listener for operators.
struct Served {
    program: Program,
    admin: String,
}

/// A session that somebody looks at.
struct Watched {
    admin: String,
    short: String,
}

fn serve(options: &[&str]) -> Served {
    // A free port: the listener for operators does not tell the test its own.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap().to_string();
    drop(free);
    let mut serve = std::process::Command::new(program_path());
    serve.args(["serve", "--log-level", "warn", "--admin", &admin, "--max-stream-events", "8"]);
    serve.args(options);
    Served { program: Program::start(&mut serve), admin }
}

impl Served {
    async fn client(&self) -> (Client, Watched) {
        let client = Client::initialize(&self.program.address).await;
        let mut sessions = Client::new(&self.admin).with_path("/sessions").get(None).await;
        let list = sessions.json().await;
        let short = list.pointer("/sessions/0/session").unwrap().as_str().unwrap().to_owned();
        (client, Watched { admin: self.admin.clone(), short })
    }
}

impl Watched {
    /// Waits until all responses are recorded.
    async fn has_no_pending_requests(&self) {
        let session = Client::new(&self.admin).with_path(&format!("/sessions/{}", self.short));
        while session.get(None).await.json().await.get("pending_requests").unwrap() != 0 {}
    }
}

/// Opens the page, runs `act` when it is live, and checks what it has drawn then. What `act` returns
/// is dropped after that.
async fn check<T>(name: &str, watched: &Watched, act: impl Future<Output = T>) {
    let dir = install::build_directory().join("interop/live-page");
    std::fs::create_dir_all(&dir).unwrap();
    let ready = dir.join(format!("{name}.ready"));
    let done = dir.join(format!("{name}.done"));
    for stale in [&ready, &done] {
        let _ = std::fs::remove_file(stale);
    }
    let screenshots = env::var_os("REJOIN_SCREENSHOTS").map_or(dir, PathBuf::from);
    let mut command = Command::new(install::node());
    command.arg(install::npm().join("live-page.mjs"));
    command.args([name, &format!("http://{}/#{}", watched.admin, watched.short)]);
    command.arg(screenshots.join(format!("{name}.png"))).arg(&ready).arg(&done);
    let checks = process::run(&mut command);
    let acting = async {
        while !ready.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let kept = act.await;
        std::fs::write(&done, "").unwrap();
        kept
    };
    let (output, _kept) = tokio::join!(checks, acting);
    assert!(output.lines().any(|line| line.starts_with("ok: ")), "nothing was checked");
}

async fn count(client: &Client, id: i64, total: u32, interval_ms: u32) -> HttpResponse {
    let arguments: Value = json!({ "total": total, "interval_ms": interval_ms });
    client.call(id, "count", arguments).await
}

#[tokio::test]
#[ignore = "installs packages and needs chromium"]
async fn an_idle_session_is_drawn() {
    let served = serve(&[]);
    let (client, watched) = served.client().await;
    let _listening = client.get(None).await;
    check("idle", &watched, async {}).await;
}

#[tokio::test]
#[ignore = "installs packages and needs chromium"]
async fn a_busy_session_is_drawn() {
    let served = serve(&[]);
    let (client, watched) = served.client().await;
    let _listening = client.get(None).await;
    check("busy", &watched, async {
        let mut calls = Vec::new();
        for id in 1..=4 {
            calls.push(count(&client, id, 12, 10).await);
        }
        for id in 5..=6 {
            client.call(id, "echo", json!({ "message": "m" })).await.response().await;
        }
        for call in &mut calls {
            call.response().await;
        }
        let mut waiting = count(&client, 7, 1_000, 30).await;
        waiting.message().await;
        waiting
    })
    .await;
}

#[tokio::test]
#[ignore = "installs packages and needs chromium"]
async fn a_broken_session_is_drawn() {
    let served = serve(&[]);
    let (client, watched) = served.client().await;
    check("broken", &watched, async {
        // It comes back in time, and gets the rest.
        let mut call = count(&client, 1, 3, 20).await;
        let first = call.message().await.unwrap().id().unwrap();
        drop(call);
        watched.has_no_pending_requests().await;
        client.get(Some(&first)).await.response().await;
        // It comes back too late: only the last events are kept.
        let mut call = count(&client, 2, 30, 1).await;
        let first = call.message().await.unwrap().id().unwrap();
        drop(call);
        watched.has_no_pending_requests().await;
        client.get(Some(&first)).await.response().await;
        // It asks for something that never was.
        client.get(Some("7/99")).await;
        client.call(3, "no such tool", json!({})).await.response().await;
        client.delete().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "installs packages and needs chromium"]
async fn a_session_whose_server_is_too_slow_is_drawn() {
    let served = serve(&["--request-timeout", "300ms"]);
    let (client, watched) = served.client().await;
    check("slow", &watched, async {
        count(&client, 1, 1_000, 50).await.response().await;
        // The error waits until the client comes back.
        let mut call = count(&client, 2, 1_000, 50).await;
        let first = call.message().await.unwrap().id().unwrap();
        drop(call);
        watched.has_no_pending_requests().await;
        client.get(Some(&first)).await.response().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "installs packages and needs chromium"]
async fn a_session_whose_client_has_not_come_back_for_an_error_is_drawn() {
    let served = serve(&["--request-timeout", "300ms"]);
    let (client, watched) = served.client().await;
    check("away", &watched, async {
        let mut call = count(&client, 1, 1_000, 50).await;
        call.message().await.unwrap();
        drop(call);
        watched.has_no_pending_requests().await;
    })
    .await;
}
