//! Listener of all servers: TCP, with or without TLS.
#![expect(clippy::print_stdout, reason = "the parent process needs the port")]

use std::{convert::Infallible, error::Error, net::Ipv4Addr};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

/// Listen backlog. With a smaller one, some of many concurrent clients would wait a second until
/// they retry, with every server.
const BACKLOG: u32 = 4_096;

/// Serves on a free loopback port, and prints it.
pub(super) fn serve<S, B>(service: S, tls: Option<TlsAcceptor>) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    println!("{}", listener.local_addr()?.port());
    tokio::spawn(accept(listener, service, tls));
    Ok(())
}

async fn accept<S, B>(listener: TcpListener, service: S, tls: Option<TlsAcceptor>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let service = TowerToHyperService::new(service.clone());
        let tls = tls.clone();
        tokio::spawn(async move {
            // Clients may disconnect at any time.
            match tls {
                None => drop(http1().serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    drop(http1().serve_connection(TokioIo::new(stream), service).await);
                }
            }
        });
    }
}

fn http1() -> http1::Builder {
    http1::Builder::new()
}
