//! A store with TLS.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use http::StatusCode;
use rejoin_test_support::{
    Client, LATEST_REVISION, LogLines, Program,
    certificates::Ca,
    engine::{Engine, has_tls},
    initialize, program_path,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

use crate::{at, call_until_served, check_retry, on_each_engine, read_until, resume};

/// A server with TLS, which requires certificates of clients.
struct EncryptedStore {
    engine: Engine,
    port: String,
    /// `ca.pem` and `other.pem`, certificates of CAs; `cert.pem` and `key.pem` of the server, which are
    /// valid for `localhost`; and those in `client`.
    files: TempDir,
    /// In front of a server that was built without TLS.
    _terminator: JoinSet<()>,
}

impl EncryptedStore {
    async fn start(program: &Path) -> Self {
        let (ca, files) = (Ca::new(), TempDir::new().unwrap());
        fs::write(files.path().join("ca.pem"), &ca.pem).unwrap();
        fs::write(files.path().join("other.pem"), Ca::new().pem).unwrap();
        ca.issue("server").write(files.path());
        let client = files.path().join("client");
        fs::create_dir(&client).unwrap();
        ca.issue("client").write(&client);
        let mut terminator = JoinSet::new();
        let (engine, address) = if has_tls(program) {
            let engine = Engine::start_with_tls(program, files.path()).await;
            let address = engine.address();
            (engine, address)
        } else {
            let engine = Engine::start(program).await;
            let address = terminate_tls(files.path(), engine.address(), &mut terminator).await;
            (engine, address)
        };
        let (_, port) = address.rsplit_once(':').unwrap();
        Self { engine, port: port.to_owned(), files, _terminator: terminator }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    fn url(&self, host: &str) -> String {
        format!("--store=rediss://{host}:{}", self.port)
    }

    /// Returns an option that trusts a CA.
    fn ca(&self, name: &str) -> String {
        format!("--store-ca={}", self.file(name))
    }

    /// Returns options with the certificate of the client.
    fn client(&self) -> [String; 2] {
        let file = |name| self.file(&format!("client/{name}.pem"));
        [format!("--store-cert={}", file("cert")), format!("--store-key={}", file("key"))]
    }
}

/// Starts a program. `cas` has the CAs that the system trusts.
fn serve(cas: &str, options: &[String]) -> Program {
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    Program::serve_with(command(cas), &options)
}

fn command(cas: &str) -> Command {
    let mut command = Command::new(program_path());
    command.env("SSL_CERT_FILE", cas).env_remove("SSL_CERT_DIR");
    command
}

/// Accepts connections with TLS, and passes them on to `address`. Returns where it listens.
async fn terminate_tls(files: &Path, address: String, tasks: &mut JoinSet<()>) -> String {
    let file = |name| files.join(name);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(file("cert.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(file("key.pem")).unwrap(),
        );
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().to_string();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, address) = (acceptor.clone(), address.clone());
            connections.spawn(async move {
                // Either side may break the connection.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let Ok(mut server) = TcpStream::connect(address).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    own
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "downloads a server"]
async fn sessions_outlive_their_process_in_a_store_with_tls() {
    on_each_engine(async |engine| {
        let mut store = EncryptedStore::start(engine).await;
        let [cert, key] = store.client();
        let options = [store.url("localhost"), store.ca("ca.pem"), cert, key];
        // The certificates of the system are not needed.
        let start = || serve("/no/such", &options);
        let program = start();
        let client = Client::initialize(&program.address).await;
        let mut response = client.call(1, "count", json!({ "total": 3, "interval_ms": 1 })).await;
        let last = read_until(&mut response, 1).await;
        drop(response);
        assert!(program.stop_with("TERM").success());

        let program = start();
        let (mut resumed, _) = resume(&at(&client, &program), &last).await;
        assert_eq!(resumed.status, StatusCode::OK);
        assert!(resumed.messages().await.last().unwrap().json().get("result").is_some());
        // The program connects again to one that was restarted.
        let client = Client::initialize(&program.address).await;
        store.engine.kill();
        store.engine.restart().await;
        let mut response = call_until_served(&client, 1).await;
        assert!(response.response().await.get("result").is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "downloads a server"]
async fn the_cas_of_the_system_are_trusted_by_default() {
    on_each_engine(async |engine| {
        let store = EncryptedStore::start(engine).await;
        let [cert, key] = store.client();
        let program = serve(&store.file("ca.pem"), &[store.url("localhost"), cert, key]);
        Client::initialize(&program.address).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "downloads a server"]
async fn a_store_that_cannot_be_trusted_is_not_used() {
    on_each_engine(async |engine| {
        let store = EncryptedStore::start(engine).await;
        let [cert, key] = store.client();
        for (options, reason) in [
            (
                vec![store.url("localhost"), store.ca("other.pem"), cert.clone(), key.clone()],
                "invalid peer certificate: ",
            ),
            (
                vec![store.url("127.0.0.1"), store.ca("ca.pem"), cert, key],
                "certificate not valid for name",
            ),
            (vec![store.url("localhost"), store.ca("ca.pem")], "CertificateRequired"),
        ] {
            // The system trusts the CA, which is not enough if another one is named.
            let mut program = command(&store.file("ca.pem"));
            let program = program.arg("serve").args(&options).stderr(Stdio::piped());
            let mut program = Program::start(program);
            // At the next attempt, if the server has reset the connection before its alert was read.
            let line = LogLines::of(&mut program).next_with(reason);
            assert!(line.contains("cannot connect to the store"), "{line}");
            let request = initialize(LATEST_REVISION, &json!({}));
            check_retry(&Client::new(&program.address).post(&request).await);
        }
    })
    .await;
}
