//! Servers with TLS.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use rejoin_test_support::{LATEST_REVISION, Program, certificates::Ca, initialize};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{application::Application, cutting_proxy::pass_on};

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
fn permanent_failure_of_the_first_connection_has_its_reason_at_once() {
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

/// What a proxy does with the TLS handshake of a connection.
#[derive(Clone, Copy)]
enum Handshake {
    /// Resets the connection.
    Reset,
    /// Reads the first message of the client, sends this, and closes the connection.
    Reply(&'static [u8]),
}

/// Starts a proxy that lets handshakes fail, one after the other, and passes later connections on.
/// Returns its port.
fn start_proxy(port: &str, handshakes: &'static [Handshake]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().port();
    let server = format!("127.0.0.1:{port}");
    thread::spawn(move || {
        let mut handshakes = handshakes.iter();
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut buffer = [0; 4096];
            match handshakes.next() {
                // What was not read at the end makes it a reset.
                Some(Handshake::Reset) => assert!(client.peek(&mut buffer).unwrap() > 0),
                Some(Handshake::Reply(bytes)) => {
                    assert!(client.read(&mut buffer).unwrap() > 0);
                    client.write_all(bytes).unwrap();
                }
                None => {
                    let server = TcpStream::connect(&server).unwrap();
                    let (to_server, to_client) =
                        (server.try_clone().unwrap(), client.try_clone().unwrap());
                    thread::spawn(move || pass_on(client, to_server, |_| false));
                    thread::spawn(move || pass_on(server, to_client, |_| false));
                }
            }
        }
    });
    proxy
}

#[test]
fn handshake_that_fails_for_a_transient_reason_is_tried_again() {
    const HANDSHAKES: &[Handshake] = &[
        Handshake::Reset,
        Handshake::Reply(b""),
        // Alerts: `close_notify`; `user_canceled` before it; `internal_error`.
        Handshake::Reply(b"\x15\x03\x03\0\x02\x01\0"),
        Handshake::Reply(b"\x15\x03\x03\0\x02\x01\x5a\x15\x03\x03\0\x02\x01\0"),
        Handshake::Reply(b"\x15\x03\x03\0\x02\x02\x50"),
    ];
    let server = TlsServer::start();
    let port = start_proxy(&server.port, HANDSHAKES);
    let url = format!("https://localhost:{port}/mcp");
    let mut application = Application::initialize(&url, &["--ca", &server.ca("ca.pem")]);
    application.call(1, "echo", &json!({ "message": "m" }));
    assert!(application.response(1).0["result"].is_object());
    assert!(application.leave().0.success());
}

#[test]
fn handshake_that_the_server_refuses_fails_at_once() {
    // The alert `protocol_version`.
    const HANDSHAKES: &[Handshake] = &[Handshake::Reply(b"\x15\x03\x03\0\x02\x02\x46")];
    let server = TlsServer::start();
    let port = start_proxy(&server.port, HANDSHAKES);
    let url = format!("https://localhost:{port}/mcp");
    let mut application = Application::start(&url, &["--ca", &server.ca("ca.pem")]);
    application.send(&initialize(LATEST_REVISION, &json!({})));
    let (response, _) = application.response(0);
    let message = "not sent: the server refuses the TLS connection with the alert protocol_version";
    assert_eq!(response["error"]["message"], message);
    assert!(application.leave().0.success());
}
