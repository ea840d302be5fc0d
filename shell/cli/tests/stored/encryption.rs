//! A store with TLS.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use http::StatusCode;
use rejoin_test_support::{
    Client, LATEST_REVISION, LogLines, Program,
    certificates::Ca,
    engine::{Engine, has_tls},
    initialize,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{at, check_retry, engines, read_until, resume};

/// A server with TLS, and the certificates for its clients.
struct EncryptedStore {
    files: TempDir,
    engine: Engine,
}

impl EncryptedStore {
    async fn start(engine: &Path) -> Self {
        let (ca, files) = (Ca::new(), TempDir::new().unwrap());
        fs::write(files.path().join("ca.pem"), &ca.pem).unwrap();
        fs::write(files.path().join("other.pem"), Ca::new().pem).unwrap();
        ca.issue("server").write(files.path());
        let client = files.path().join("client");
        fs::create_dir(&client).unwrap();
        ca.issue("client").write(&client);
        let engine = Engine::start_with_tls(engine, files.path()).await;
        Self { files, engine }
    }

    /// Returns options that trust a CA.
    fn options(&self, ca: &str) -> [String; 2] {
        let url = self.engine.url().replace("redis://127.0.0.1", "rediss://localhost");
        let ca = self.files.path().join(ca);
        [format!("--store={url}"), format!("--store-ca={}", ca.display())]
    }

    /// Returns options with the certificate that the server requires.
    fn client_options(&self) -> [String; 2] {
        let file = |option: &str| {
            let file = self.files.path().join(format!("client/{option}.pem"));
            format!("--store-{option}={}", file.display())
        };
        [file("cert"), file("key")]
    }
}

/// Returns the servers that were built with TLS.
#[expect(clippy::print_stderr, reason = "a test that is not complete says so")]
fn engines_with_tls() -> Vec<PathBuf> {
    let (with, without): (Vec<_>, Vec<_>) =
        engines().into_iter().partition(|engine| has_tls(engine));
    for engine in without {
        eprintln!("NOT TESTED: {} was built without TLS", engine.display());
    }
    with
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn sessions_outlive_their_process_in_a_store_with_tls() {
    for engine in engines_with_tls() {
        let store = EncryptedStore::start(&engine).await;
        let options = [store.options("ca.pem"), store.client_options()].concat();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let program = Program::serve(&options);
        let client = Client::initialize(&program.address).await;
        let mut response = client.call(1, "count", json!({ "total": 3, "interval_ms": 1 })).await;
        let last = read_until(&mut response, 1).await;
        drop(response);
        assert!(program.stop_with("TERM").success());

        let program = Program::serve(&options);
        let (mut resumed, _) = resume(&at(&client, &program), &last).await;
        assert_eq!(resumed.status, StatusCode::OK);
        assert!(resumed.messages().await.last().unwrap().json().get("result").is_some());
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_store_that_is_not_trusted_or_does_not_trust_us_is_not_used() {
    for engine in engines_with_tls() {
        let store = EncryptedStore::start(&engine).await;
        let of_client = store.client_options();
        for (ca, of_client, reason) in [
            ("other.pem", &of_client[..], "invalid peer certificate"),
            ("ca.pem", &[], "CertificateRequired"),
        ] {
            let options = [&store.options(ca)[..], of_client].concat();
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            let mut program = Program::logging_to(Stdio::piped(), &options);
            // At the next attempt, if the server has reset the connection before its alert was read.
            let line = LogLines::of(&mut program).next_with(reason);
            assert!(line.contains("cannot connect to the store"), "{line}");
            let request = initialize(LATEST_REVISION, &json!({}));
            check_retry(&Client::new(&program.address).post(&request).await);
        }
    }
}
