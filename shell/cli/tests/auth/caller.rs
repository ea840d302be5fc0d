//! What the process of a session knows of who has opened it.

use std::process::{Command, Stdio};

use http::{Method, StatusCode};
use rejoin_test_support::{
    Client, HttpResponse, Program, program_path,
    script::{result, with_prelude},
};
use serde_json::{Value, json};

use crate::{
    issuer::Issuer,
    keys::serve,
    sessions::{ADA, BOB, initialize},
    signer::Signer,
};

/// Answers with two variables, the first argument, and the names of all variables.
const ANSWER: &str = r#"while receive; do
names=$(env | cut -d= -f1 | sort | tr '\n' ' ')
respond "{\"token\":\"${GITHUB_TOKEN-unset}\",\"dir\":\"$DIR\",\"argument\":\"$1\",\"names\":\"$names\"}"
done"#;

/// Starts the program with a variable that its operator has for itself.
fn program(options: &[&str]) -> Program {
    let script = with_prelude(ANSWER);
    let command = ["--", "/bin/sh", "-c", &script];
    let options: Vec<_> = options.iter().copied().chain(command).collect();
    let mut program = Command::new(program_path());
    program.env("GITHUB_TOKEN", "of the operator").env("HOME", "/");
    Program::serve_with(program, &options)
}

/// Sends `initialize` with additional headers.
async fn open(program: &Program, headers: &[(&'static str, &str)]) -> HttpResponse {
    let message = rejoin_test_support::initialize("2025-11-25", &json!({})).to_string();
    Client::new(&program.address).send(Method::POST, message, headers).await
}

/// Opens a session, and returns the answer of its process.
async fn answer(program: &Program, headers: &[(&'static str, &str)]) -> Value {
    let response = open(program, headers).await;
    assert_eq!(response.status, StatusCode::OK);
    let session = response.headers["mcp-session-id"].to_str().unwrap();
    let client = Client::new(&program.address).with_session(session);
    let other = ("x-github-token", "of a later request");
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let response = client.send(Method::POST, initialized.to_string(), &[other]).await;
    assert_eq!(response.status, StatusCode::ACCEPTED);
    result(&client, 1, json!({})).await
}

#[tokio::test]
async fn a_header_of_initialize_becomes_a_variable() {
    let program = program(&["--header-env", "X-Github-Token=GITHUB_TOKEN"]);
    let answers = answer(&program, &[("x-github-token", "of a user")]).await;
    assert_eq!(answers["token"], "of a user");
    assert_eq!(answer(&program, &[]).await["token"], "unset", "not that of the operator");
    for value in ["s".repeat(8 * 1024 + 1), "s\u{e9}cret".to_owned()] {
        let mut refused = open(&program, &[("x-github-token", &value)]).await;
        assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
        let message = refused.json().await["error"]["message"].to_string();
        assert!(message.contains("`x-github-token` header"), "{message}");
    }
}

#[tokio::test]
async fn the_environment_is_inherited_unless_it_is_cleared() {
    let inherited = answer(&program(&[]), &[]).await;
    assert_eq!(inherited["token"], "of the operator");
    let cleared = answer(&program(&["--env-clear", "--env", "DIR=a"]), &[]).await;
    assert_eq!((&cleared["token"], &cleared["dir"]), (&json!("unset"), &json!("a")));
    let names = cleared["names"].as_str().unwrap();
    // The shell sets some itself.
    let expected = ["DIR", "OLDPWD", "PATH", "PWD", "REJOIN_PROCESS_TREE", "SHLVL", "_"];
    assert!(names.split_whitespace().all(|name| expected.contains(&name)), "{names}");
    assert!(names.contains("PATH"), "{names}");
}

#[tokio::test]
async fn the_principal_takes_the_place_of_its_name() {
    let script = with_prelude(ANSWER);
    let (program, _file) = serve(&[
        "--env",
        "DIR=/data/{principal}/x",
        "--",
        "/bin/sh",
        "-c",
        &script,
        "script",
        "--user={principal}",
    ]);
    for (key, name) in [(ADA, "ada"), (BOB, "bob")] {
        let session = initialize(&program.address, Some(key)).await;
        let mut response = session.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "a" })).await;
        let answer = response.response().await["result"].clone();
        assert_eq!(answer["dir"], format!("/data/{name}/x"));
        assert_eq!(answer["argument"], format!("--user={name}"));
        let names = answer["names"].as_str().unwrap();
        assert!(!names.to_uppercase().contains("KEY"), "{names}");
    }
}

#[tokio::test]
async fn a_subject_that_is_not_a_plain_name_opens_no_session() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    let program = issuer.program(&["--env", "DIR={principal}", "--", "/bin/sh", "-c", "cat"]);
    for subject in ["../etc", "-rf", "a b", "auth0|1", "$(id)"] {
        let token = format!("Bearer {}", signer.token("ed", &issuer.url, subject));
        let mut refused = open(&program, &[("authorization", &token)]).await;
        assert_eq!(refused.status, StatusCode::BAD_GATEWAY, "{subject}");
        let message = refused.json().await["error"]["message"].to_string();
        assert!(message.contains("cannot be used as a name"), "{message}");
    }
}

#[test]
fn what_a_client_must_not_set_is_an_error_at_the_start() {
    for (options, expected) in [
        (&["--header-env", "X-A=LD_PRELOAD"] as &[&str], "a client must not set `LD_PRELOAD`"),
        (&["--header-env", "X-A=PATH"], "a client must not set `PATH`"),
        (&["--header-env", "X-A=A", "--env", "A=b"], "`A` is set by --env, too"),
        (&["--header-env", "X-A"], "expected `HEADER=NAME`"),
        (&["--env", "DIR={principal}"], "needs either --auth-keys or --auth-issuer"),
    ] {
        let mut command = Command::new(program_path());
        command.arg("serve").args(options).args(["--", "cat"]).stderr(Stdio::piped());
        let error = Program::try_start(&mut command).unwrap_err();
        assert!(error.contains(expected), "{options:?} {error}");
    }
}
