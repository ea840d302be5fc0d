//! An HTTPS client that trusts the certificates of the system.

use bytes::Buf;
use http_body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::RootCertStore;

use crate::certificates;

/// A client of HTTP and HTTPS. It does not follow redirects.
pub(crate) type HttpsClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Creates a client without a pool: for requests so rare that connections would be idle for much
/// longer than servers keep them.
///
/// # Errors
///
/// TLS cannot be set up.
pub(crate) fn client<B: Body<Data: Buf + Send> + Send>() -> anyhow::Result<HttpsClient<B>> {
    let mut roots = RootCertStore::empty();
    certificates::add_system(&mut roots);
    let tls = certificates::client_config(roots)?.with_no_client_auth();
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_max_idle_per_host(0);
    Ok(client.build(https.enable_http1().build()))
}
