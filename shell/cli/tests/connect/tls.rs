//! Servers with TLS.

use std::time::Duration;

use rejoin_test_support::{LATEST_REVISION, Program, initialize};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{application::Application, certificates::Ca};

/// A server whose certificate is valid for `localhost`, and the files of its authority and of
/// another one.
struct TlsServer {
    files: TempDir,
    port: String,
    _program: Program,
}

impl TlsServer {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let ca = Ca::new();
        ca.issue("server").write(files.path());
        std::fs::write(files.path().join("ca.pem"), &ca.pem).unwrap();
        std::fs::write(files.path().join("other.pem"), Ca::new().issue("other").cert).unwrap();
        let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
        let program = Program::serve(&[
            "--tls-cert",
            &path("cert.pem"),
            "--tls-key",
            &path("key.pem"),
            "--allow-host",
            "localhost",
        ]);
        let (_, port) = program.address.rsplit_once(':').unwrap();
        Self { port: port.to_owned(), files, _program: program }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/mcp", self.port)
    }

    fn ca(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn server_with_a_trusted_certificate_is_used() {
    let server = TlsServer::start();
    let mut application =
        Application::initialize(&server.url("localhost"), &["--ca", &server.ca("ca.pem")]);
    application.call(1, "echo", &json!({ "message": "m" }));
    assert!(application.response(1).0["result"].is_object());
    assert!(application.leave().0.success());
}

#[test]
fn connection_that_can_never_be_made_fails_at_once_with_the_reason() {
    let server = TlsServer::start();
    let plain = Program::serve(&[]);
    let plain_url = plain.url.replace("http://", "https://");
    for (url, ca, named) in [
        (
            server.url("localhost"),
            "other.pem",
            "the certificate of the server is issued by an authority that is not trusted",
        ),
        (
            server.url("127.0.0.1"),
            "ca.pem",
            "the certificate of the server is not accepted: certificate not valid for name",
        ),
        (plain_url, "ca.pem", "the server does not speak TLS"),
    ] {
        let mut application = Application::start(&url, &["--ca", &server.ca(ca)]);
        let begin = Instant::now();
        application.send(&initialize(LATEST_REVISION, &json!({})));
        let (response, _) = application.response(0);
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("not sent: {named}")), "{message}");
        assert_eq!(response["error"]["data"]["executed"], "no");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert!(application.leave().0.success());
    }
}
