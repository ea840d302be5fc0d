//! Servers with TLS.

use rejoin_test_support::{LATEST_REVISION, Program, initialize};
use serde_json::json;

use crate::{application::Application, certificates::Ca};

#[test]
fn certificate_must_be_issued_by_a_trusted_authority() {
    let (ca, other) = (Ca::new(), Ca::new());
    let directory = tempfile::tempdir().unwrap();
    ca.issue("server").write(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("ca.pem"), &ca.pem).unwrap();
    std::fs::write(path("other.pem"), &other.pem).unwrap();
    let program = Program::serve(&[
        "--tls-cert",
        &path("cert.pem"),
        "--tls-key",
        &path("key.pem"),
        "--allow-host",
        "localhost",
    ]);
    let (_, port) = program.address.rsplit_once(':').unwrap();
    let url = format!("https://localhost:{port}/mcp");
    let mut application = Application::initialize(&url, &["--ca", &path("ca.pem")]);
    application.call(1, "echo", &json!({ "message": "m" }));
    assert!(application.response(1).0["result"].is_object());
    assert!(application.leave().0.success());
    let mut application = Application::start(&url, &["--ca", &path("other.pem")]);
    application.send(&initialize(LATEST_REVISION, &json!({})));
    let (response, _) = application.response(0);
    let message = "not sent: no connection to the server could be made";
    assert_eq!(response["error"]["message"], message);
}
