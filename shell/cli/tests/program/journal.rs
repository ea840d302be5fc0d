//! Journals of sessions, and their replay.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rejoin_test_support::{Client, Program, program_path};
use serde_json::{Value, json};

fn replay(arguments: &[&str]) -> Output {
    Command::new(program_path()).arg("replay").args(arguments).output().unwrap()
}

fn lines(output: Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Records a session whose client resumes in the middle of a call.
async fn record(dir: &Path) -> PathBuf {
    let program = Program::serve(&["--journal", dir.to_str().unwrap()]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(7, "count", json!({ "total": 3, "interval_ms": 1 })).await;
    let first = call.message().await.unwrap();
    drop(call);
    let mut call = client.get(first.id().as_deref()).await;
    call.response().await;
    client.call(8, "echo", json!({ "message": "a secret" })).await.response().await;
    assert!(program.stop_with("TERM").success());
    match files(dir).as_slice() {
        [file] => {
            let name = file.file_stem().unwrap().to_str().unwrap();
            assert!(client.session().starts_with(name) && client.session() != name);
            file.clone()
        }
        files => panic!("expected one file per session: {files:?}"),
    }
}

#[tokio::test]
async fn a_recorded_session_can_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let file = record(dir.path()).await;
    assert!(!fs::read_to_string(&file).unwrap().contains("secret"), "bodies must not be recorded");
    let file = file.to_str().unwrap();

    let transcript = lines(replay(&[file]));
    let has = |expected: &str| transcript.iter().any(|line| line.contains(expected));
    for expected in [
        "POST initialize 0, version 2025-11-25",
        "forward request 7, progress token 7",
        "backend: progress 7",
        "GET after 1/0",
        "2/0 progress 7",
        "4/0 response 7",
        "close the session: ServerShutdown",
    ] {
        assert!(has(expected), "{expected}: {transcript:#?}");
    }
    assert!(!has("rejected"), "{transcript:#?}");

    let steps = lines(replay(&[file, "--json"]));
    let steps: Vec<Value> = steps.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.is_sorted_by_key(|step| step["now"].as_u64().unwrap()));
    let end = &steps.last().unwrap()["actions"];
    let (reason, none) = ("ServerShutdown", json!([]));
    let closed = json!({
        "SessionClosed": { "reason": reason, "pending_requests": none, "server_requests": none },
    });
    assert!(end.as_array().unwrap().contains(&closed), "{end}");
}

/// Returns the marks of a page.
fn marks(page: &str) -> Vec<Value> {
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    data.get("marks").unwrap().as_array().unwrap().clone()
}

#[tokio::test]
async fn a_page_has_the_same_marks_as_the_transcript() {
    let dir = tempfile::tempdir().unwrap();
    let file = record(dir.path()).await;
    let page = dir.path().join("page.html");
    let file = file.to_str().unwrap();
    lines(replay(&[file, "--html", page.to_str().unwrap()]));
    let transcript = lines(replay(&[file]));
    let page = fs::read_to_string(page).unwrap();
    let marks = marks(&page);
    let actions = |start: &str| transcript.iter().filter(|line| line.starts_with(start)).count();
    let resumed = transcript.iter().filter(|line| line.contains("GET after ")).count();
    for (kind, expected) in [
        // The answer to `initialize` is no event.
        ("sent", actions("send on ") + actions("respond on ")),
        ("began", actions("forward request ") + actions("forward initialize ")),
        ("ended", actions("forward request ") + actions("forward initialize ")),
        ("posted", actions("forward notification")),
        ("ends", actions("close ") - actions("close the session")),
        ("resumed", resumed),
        ("closed", actions("close the session")),
    ] {
        let drawn = marks.iter().filter(|mark| mark["kind"] == kind).count();
        assert_eq!(drawn, expected, "{kind}: {transcript:#?}");
        assert!(expected > 0, "{kind}: {transcript:#?}");
    }
    assert!(marks.is_sorted_by_key(|mark| mark["at"].as_f64().unwrap()));
    let resumed = marks.iter().find(|mark| mark["kind"] == "resumed").unwrap();
    assert_eq!((&resumed["row"], &resumed["after"]), (&json!("0"), &json!(1)));
    // It needs nothing else: no other file, and no network.
    assert!(!page.contains("src=") && !page.contains("connect-src"));
}

#[tokio::test]
async fn a_page_is_a_new_file_of_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let journal = record(dir.path()).await;
    let before = fs::read(&journal).unwrap();
    let page = dir.path().join("page.html");
    let write =
        |page: &Path| replay(&[journal.to_str().unwrap(), "--html", page.to_str().unwrap()]);
    assert!(write(&page).status.success());
    assert_eq!(fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
    for existing in [&journal, &page] {
        let output = write(existing);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(existing.to_str().unwrap()), "{stderr}");
        assert!(stderr.contains("File exists"), "{stderr}");
    }
    assert_eq!(fs::read(&journal).unwrap(), before);
}

#[tokio::test]
async fn a_full_journal_ends_without_affecting_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().to_str().unwrap();
    let program = Program::serve(&["--journal", journal, "--max-journal", "4KiB"]);
    let client = Client::initialize(&program.address).await;
    for id in 1..100 {
        client.call(id, "echo", json!({ "message": "m" })).await.response().await;
    }
    assert!(program.stop_with("TERM").success());
    let size: u64 = files(dir.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!((1..=4_096).contains(&size), "{size}");
    assert!(replay(&[files(dir.path())[0].to_str().unwrap()]).status.success());
}

#[test]
fn an_unwritable_journal_directory_is_an_error_at_startup() {
    let output = Command::new(program_path())
        .args(["serve", "--listen", "127.0.0.1:0", "--journal", "/proc/self"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("cannot write journals to /proc/self"), "{stderr}");
}

#[test]
fn errors_name_an_invalid_journal() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (text, named) in [("", "empty"), ("{}\n", "line 1: missing field")] {
        fs::write(path, text).unwrap();
        let output = replay(&[path]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(path) && stderr.contains(named), "{stderr}");
    }
}
