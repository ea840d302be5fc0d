//! Keys of a file, and its reload.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use http::StatusCode;
use rejoin_test_support::{Program, program_path};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::{
    raw::{self, bearer},
    sessions::{ADA, BOB, initialize},
};

/// Returns the line of a key.
pub(crate) fn line(name: &str, key: &str) -> String {
    let mut line = format!("{name} sha256:");
    for byte in Sha256::digest(key) {
        write!(line, "{byte:02x}").unwrap();
    }
    line + "\n"
}

pub(crate) fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

/// Serves with the keys of Ada and Bob.
pub(crate) fn serve(options: &[&str]) -> (Program, NamedTempFile) {
    let file = file(&(line("ada", ADA) + &line("bob", BOB)));
    let keys = ["--auth-keys", file.path().to_str().unwrap()];
    let options: Vec<_> = keys.into_iter().chain(options.iter().copied()).collect();
    (Program::serve(&options), file)
}

#[tokio::test]
async fn a_key_is_accepted_as_bearer_or_in_its_header() {
    let (program, _file) = serve(&[]);
    let key = |key: &str| format!("x-api-key: {key}");
    for line in [bearer(ADA), key(ADA), key(BOB), format!("Authorization: BEARER {BOB}")] {
        let response = raw::get(&program.address, "/mcp", &[line.as_bytes()]).await;
        assert_eq!(response.status, 404, "{line}");
    }
    let unknown = "Bearer error=\"invalid_token\", \
                   error_description=\"the credential is not valid\"";
    let hash = line("ada", ADA);
    let hash = hash.split("sha256:").nth(1).unwrap().trim();
    for line in [key("x"), bearer("x"), key(&ADA[1..]), key("ada"), key(hash), bearer("a.b.c")] {
        let response = raw::get(&program.address, "/mcp", &[line.as_bytes()]).await;
        assert_eq!(response.status, 401, "{line}");
        assert_eq!(response.header("www-authenticate"), Some(unknown), "{line}");
    }
    let (bearer, key) = (bearer(ADA), key(ADA));
    for (lines, status, challenge) in [
        (vec![], 401, "Bearer"),
        (vec!["authorization: Basic YTpi"], 401, "Bearer"),
        (vec![&*bearer, &*key], 400, "Bearer error=\"invalid_request\""),
        (vec![&*key, &*key], 400, "Bearer error=\"invalid_request\""),
        (vec!["x-api-key: "], 401, "Bearer error=\"invalid_token\""),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        let response = raw::get(&program.address, "/mcp", &lines).await;
        assert_eq!(response.status, status, "{response:?}");
        assert!(response.header("www-authenticate").unwrap().starts_with(challenge));
    }
    let response = raw::get(&program.address, "/mcp?api_key=x", &[key.as_bytes()]).await;
    assert_eq!(response.status, 400);
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    assert_eq!(raw::get(&program.address, metadata, &[]).await.status, 404);
}

#[tokio::test]
async fn a_reload_ends_the_streams_of_removed_keys() {
    let (program, file) = serve(&[]);
    let ada = initialize(&program.address, Some(ADA)).await;
    let bob = initialize(&program.address, Some(BOB)).await;
    let mut removed = ada.get(&[]).await;
    let mut kept = bob.get(&[]).await;
    assert!(removed.next().await.is_some() && kept.next().await.is_some());
    // The stream of the removed key ends when the file is read again.
    fs::write(file.path(), line("bob", BOB)).unwrap();
    program.signal("HUP");
    let ends = async { while removed.next().await.is_some() {} };
    timeout(Duration::from_secs(30), ends).await.unwrap();
    assert_eq!(ada.get(&[]).await.status, StatusCode::UNAUTHORIZED);
    // A broken file changes nothing, and neither does one with the same key.
    for text in ["bob", &*line("bob", BOB)] {
        fs::write(file.path(), text).unwrap();
        program.signal("HUP");
        assert_eq!(bob.get(&[]).await.status, StatusCode::OK);
    }
    // Its session waits for the key.
    fs::write(file.path(), line("bob", BOB) + &line("ada", ADA)).unwrap();
    program.signal("HUP");
    loop {
        let response = ada.get(&[]).await;
        if response.status == StatusCode::OK {
            break;
        }
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    }
    drop(kept);
}

#[test]
fn an_invalid_file_is_an_error_at_the_start() {
    for (text, expected) in [
        (Some("ada sha256:00"), "line 1: expected a name, a space, and `sha256:`"),
        (Some("# keys\nada"), "line 2"),
        (None, "--auth-keys: /no/such/file"),
    ] {
        let file = text.map(file);
        let path = file.as_ref().map_or("/no/such/file", |file| file.path().to_str().unwrap());
        let mut command = Command::new(program_path());
        command.args(["serve", "--auth-keys", path]).stderr(Stdio::piped());
        let error = Program::try_start(&mut command).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
