//! A program with TLS, and connections to it.

use std::{
    fs, io,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rejoin_test_support::{
    Client, HttpResponse, LATEST_REVISION, LogLines, Program,
    certificates::{Ca, Identity},
    initialize, program_path,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

pub(crate) type Stream = TlsStream<tokio::net::TcpStream>;

/// Size of the receive buffer of a client, in bytes. Small, so that a client that does not read is
/// soon noticed.
const RECEIVE_BUFFER: u32 = 32 << 10;

/// A program with TLS.
pub(crate) struct Served {
    pub(crate) program: Program,
    pub(crate) ca: Ca,
    pub(crate) directory: TempDir,
    log: LogLines,
}

impl Served {
    /// Starts the program with the demo server.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(|_| options.iter().map(|&option| option.to_owned()).collect())
    }

    /// The same for clients with certificates of its CA.
    pub(crate) fn start_for_known_clients() -> Self {
        Self::start_with(|directory| {
            let ca = directory.path().join("ca.pem").to_str().unwrap().to_owned();
            vec!["--tls-client-ca".to_owned(), ca]
        })
    }

    fn start_with(options: impl FnOnce(&TempDir) -> Vec<String>) -> Self {
        let (ca, directory) = (Ca::new(), TempDir::new().unwrap());
        ca.issue("first").write(directory.path());
        fs::write(directory.path().join("ca.pem"), &ca.pem).unwrap();
        let file = |name: &str| directory.path().join(name);
        let mut command = Command::new(program_path());
        command.arg("serve").arg("--tls-cert").arg(file("cert.pem"));
        command.arg("--tls-key").arg(file("key.pem")).args(options(&directory));
        command.env("REJOIN_LOG_LEVEL", "info").env("REJOIN_MAX_CONNECTIONS", "500");
        let mut program = Program::start(command.stderr(Stdio::piped()));
        let log = LogLines::of(&mut program);
        Self { program, ca, directory, log }
    }

    /// Connects with a protocol.
    pub(crate) async fn connect(
        &self,
        protocol: &str,
        client: Option<&Identity>,
    ) -> io::Result<Stream> {
        self.connect_with(Arc::new(self.client_config(protocol, client))).await
    }

    /// Returns the TLS configuration of a client.
    pub(crate) fn client_config(&self, protocol: &str, client: Option<&Identity>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        config
    }

    /// Connects. Connections with the same configuration can resume TLS sessions.
    pub(crate) async fn connect_with(&self, config: Arc<ClientConfig>) -> io::Result<Stream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        let tcp = socket.connect(self.program.address.parse().unwrap()).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, tcp).await
    }

    /// Sends a request on a connection of its own, with HTTP/1.1.
    pub(crate) async fn send(&self, request: Request) -> HttpResponse {
        let stream = self.connect("http/1.1", None).await.unwrap();
        HttpResponse::receive(stream, request).await.unwrap()
    }

    /// Opens a session with HTTP/1.1.
    pub(crate) async fn open(&self) -> Client {
        let response = self.send(initialization(&self.client())).await;
        self.client().with_session(response.headers["mcp-session-id"].to_str().unwrap())
    }

    /// Returns a client without a session, whose requests are sent by hand.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.program.address)
    }

    /// Waits for a line of the log that contains a text.
    pub(crate) fn logged(&self, text: &str) -> String {
        self.log.next_with(text)
    }
}

pub(crate) type Request = http::Request<http_body_util::Full<bytes::Bytes>>;

/// Returns the request that opens a session.
pub(crate) fn initialization(client: &Client) -> Request {
    post(client, &initialize(LATEST_REVISION, &json!({})))
}

/// Returns a request with a message.
pub(crate) fn post(client: &Client, message: &Value) -> Request {
    client.request(&http::Method::POST, message.to_string(), &[])
}

/// Returns the request of a call of `count`, with progress.
pub(crate) fn count(client: &Client, id: i64, total: u64, interval_ms: u64) -> Request {
    let params = json!({
        "name": "count", "arguments": { "total": total, "interval_ms": interval_ms },
        "_meta": { "progressToken": id },
    });
    post(client, &json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
}

/// Returns the request of a call of `echo`.
pub(crate) fn echo(client: &Client, id: i64, message: &str) -> Request {
    let params = json!({ "name": "echo", "arguments": { "message": message } });
    post(client, &json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
}

/// Checks that a shutdown waits until its client has read a response, which is larger than all
/// buffers.
pub(crate) async fn check_slow_reader(served: Served, mut response: HttpResponse, message: &str) {
    let Served { mut program, .. } = served;
    program.signal("TERM");
    assert!(program.exited(Duration::from_millis(1_500)).await.is_none(), "it waits");
    let result = &response.response().await["result"];
    assert_eq!(result["content"][0]["text"].as_str().unwrap().len(), message.len());
    drop(response);
    assert!(program.exited(Duration::from_secs(20)).await.unwrap().success());
}

/// Returns the request of a GET, which may resume.
pub(crate) fn get(client: &Client, last_event_id: Option<&str>) -> Request {
    let extra = last_event_id.map(|id| ("last-event-id", id));
    client.request(&http::Method::GET, String::new(), extra.as_slice())
}

/// Reads the gap of a resumed stream, whose client has received the first `from` events. Returns the
/// last event that had counted as delivered.
pub(crate) async fn read_gap(response: &mut HttpResponse, from: u64) -> u64 {
    let gap = response.message().await.unwrap().json();
    let missed = &gap["params"]["data"];
    assert_eq!(missed["first"], from + 1, "{gap}");
    missed["last"].as_u64().unwrap()
}

/// Reads progress from `from` up to `until` or the response, without a gap. Returns the last
/// progress, and whether the response was received.
pub(crate) async fn read_progress(
    response: &mut HttpResponse,
    from: u64,
    until: Option<u64>,
) -> (u64, bool) {
    let mut at = from;
    while until != Some(at) {
        let Some(event) = response.message().await else { return (at, false) };
        let Some(progress) = event.progress() else {
            assert!(event.is_response(), "{event:?}");
            return (at, true);
        };
        assert_eq!(progress, at + 1, "{event:?}");
        at = progress;
    }
    (at, false)
}
