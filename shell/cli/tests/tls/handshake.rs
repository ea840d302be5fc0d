//! Clients that do not complete the handshake, or must not.

use std::{process::Command, time::Duration};

use rejoin_test_support::{HttpResponse, certificates::Ca, program_path};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::fixture::{Served, initialization};

/// Reads until the server closes the connection.
async fn closed(stream: &mut TcpStream, within: Duration) {
    let mut bytes = Vec::new();
    // It may be reset.
    let _ = timeout(within, stream.read_to_end(&mut bytes)).await.unwrap();
}

#[tokio::test]
async fn plain_http_is_closed_at_once() {
    let served = Served::start(&["--header-timeout", "600s"]);
    let mut stream = TcpStream::connect(&served.program.address).await.unwrap();
    stream.write_all(b"GET /mcp HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    closed(&mut stream, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let served = Served::start(&["--header-timeout", "200ms"]);
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(&served.program.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        closed(&mut stream, Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn a_handshake_does_not_delay_the_shutdown() {
    let served = Served::start(&["--header-timeout", "600s", "--drain-timeout", "600s"]);
    let mut stream = TcpStream::connect(&served.program.address).await.unwrap();
    stream.write_all(b"\x16").await.unwrap();
    // Accepted before this one.
    served.open().await;
    let Served { mut program, .. } = served;
    program.signal("TERM");
    assert!(program.exited(Duration::from_secs(20)).await.unwrap().success());
}

#[tokio::test]
async fn a_client_needs_a_certificate_of_the_ca() {
    let served = Served::start_for_known_clients();
    let known = served.ca.issue("known");
    for protocol in ["http/1.1", "h2"] {
        // A client of TLS 1.3 learns of a refusal when it reads.
        let refused = |stream: super::fixture::Stream| async move {
            let (mut stream, mut byte) = (stream, [0]);
            let read = stream.read(&mut byte);
            matches!(timeout(Duration::from_secs(10), read).await, Ok(Err(_)))
        };
        let without = served.connect(protocol, None).await;
        assert!(refused(without.unwrap()).await);
        let of_other = served.connect(protocol, Some(&Ca::new().issue("known"))).await;
        assert!(refused(of_other.unwrap()).await);
    }
    let stream = served.connect("http/1.1", Some(&known)).await.unwrap();
    let request = initialization(&served.client());
    assert_eq!(HttpResponse::receive(stream, request).await.unwrap().status, 200);
}

#[test]
fn invalid_files_are_refused() {
    let served = Served::start(&[]);
    let file = |name: &str| served.directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("other.pem"), served.ca.issue("other").key).unwrap();
    let (cert, key, ca, other) =
        (file("cert.pem"), file("key.pem"), file("ca.pem"), file("other.pem"));
    for (options, parts) in [
        (vec!["--tls-cert", &cert], vec!["--tls-cert and --tls-key need each other"]),
        (vec!["--tls-client-ca", &ca], vec!["--tls-client-ca needs --tls-cert"]),
        (vec!["--tls-cert", &key, "--tls-key", &key], vec!["--tls-cert", "no certificate"]),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], vec!["--tls-key", "no private key"]),
        (vec!["--tls-cert", &cert, "--tls-key", &other], vec!["--tls-cert", &other]),
        (
            vec!["--tls-cert", "/no/such", "--tls-key", &key],
            vec!["--tls-cert /no/such: No such file"],
        ),
        (
            vec!["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &key],
            vec!["--tls-client-ca", "no certificate"],
        ),
    ] {
        let mut command = Command::new(program_path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(&options);
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{options:?}");
        assert!(parts.iter().all(|part| error.contains(part)), "{options:?}: {error}");
    }
}
