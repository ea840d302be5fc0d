//! TLS: the certificate and its key, which can be read again, and handshakes.

use std::{io, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::{net::TcpStream, task::spawn_blocking, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::CertificateDer,
        server::{NoServerSessionStorage, WebPkiClientVerifier},
    },
    server::TlsStream,
};

use crate::{certificates, config::TlsFiles};

/// The protocols that a client can choose: RFC 7301.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Maximum number of bytes that wait in a connection to be encrypted or written: about one record.
/// Low, since an event counts as acknowledged when it is there.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// The TLS configuration of the listener. A clone is the same.
#[derive(Clone)]
pub(super) struct Tls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    /// For new connections.
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the option and the file.
    pub(super) fn load(files: TlsFiles) -> anyhow::Result<Self> {
        let config = ArcSwap::new(read(&files)?);
        Ok(Self(Arc::new(Inner { files, config })))
    }

    /// Reads the files again, for new connections. If that fails, nothing changes, and the log has
    /// the error.
    pub(super) async fn reload(&self) {
        let tls = self.clone();
        let read = spawn_blocking(move || read(&tls.0.files)).await;
        match read.context("cannot read the files").flatten() {
            Ok(config) => {
                self.0.config.store(config);
                tracing::info!(cert = self.0.files.cert, "TLS certificate reloaded");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "TLS certificate not reloaded: nothing has changed");
            }
        }
    }

    /// Accepts a client.
    ///
    /// # Errors
    ///
    /// The client does not complete the handshake in time, or does not speak TLS.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        longest: Duration,
    ) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.0.config.load_full());
        let handshake =
            acceptor.accept_with(stream, |tls| tls.set_buffer_limit(Some(BUFFER_BYTES_MAX)));
        timeout(longest, handshake).await?
    }
}

/// Returns whether the client has chosen HTTP/2.
pub(super) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// Returns the verified certificate of the client, if it needs one.
pub(super) fn client_certificate(
    stream: &TlsStream<TcpStream>,
) -> Option<&CertificateDer<'static>> {
    stream.get_ref().1.peer_certificates()?.first()
}

fn read(files: &TlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            certificates::add_file(&mut roots, Path::new(file))
                .with_context(|| format!("--tls-client-ca {file}"))?;
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .with_context(|| format!("--tls-client-ca {file}"))?,
            )
        }
    };
    let (cert, key) = (&files.cert, &files.key);
    let chain =
        certificates::read(Path::new(cert)).with_context(|| format!("--tls-cert {cert}"))?;
    let private_key =
        certificates::read_key(Path::new(key)).with_context(|| format!("--tls-key {key}"))?;
    let mut config = builder
        .with_single_cert(chain, private_key)
        .with_context(|| format!("--tls-cert {cert}, --tls-key {key}"))?;
    if files.client_ca.is_some() {
        // A resumed TLS session has the certificate that was verified when it began, which may
        // have expired since, or be of a CA that is not trusted anymore.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(Arc::new(config))
}
