//! Routing: the MCP endpoint of each server, the path for health checks, and 404 for any other.

use std::{error::Error, future::Future};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::{Either, Full};
use rejoin::{CredentialExpiry, PeerAddress, ResponseBody};

use super::{
    access_log::{AccessLogEntry, LoggedBody},
    client_certificate::ClientCertificate,
    servers::Servers,
};
use crate::readiness::Readiness;

#[derive(Clone)]
pub(super) struct Router {
    servers: Servers,
    readiness: Readiness,
}

/// The client of a connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectedClient {
    pub(super) peer: PeerAddress,
    /// If it needs a certificate. The credentials of a request take precedence.
    pub(super) certificate: Option<ClientCertificate>,
}

/// The body of a response: of a server, or of the program.
pub(super) type RoutedBody = Either<ResponseBody, Full<Bytes>>;

impl Router {
    pub(super) fn new(servers: Servers, readiness: Readiness) -> Self {
        Self { servers, readiness }
    }

    /// Waits until the program is not ready.
    pub(super) fn unready(&self) -> impl Future<Output = ()> + Send + use<> {
        self.readiness.ended()
    }

    /// Responds to a request. The log has it when the body of the response is dropped.
    pub(super) fn respond<B>(
        &self,
        mut request: Request<B>,
        client: &ConnectedClient,
    ) -> impl Future<Output = Response<LoggedBody<RoutedBody>>> + Send + use<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        request.extensions_mut().insert(client.peer);
        if let Some(certificate) = &client.certificate {
            request.extensions_mut().insert(certificate.principal.clone());
            request.extensions_mut().insert(CredentialExpiry::at(certificate.expires_at));
        }
        let entry = AccessLogEntry::new(&request);
        let (servers, readiness) = (self.servers.clone(), self.readiness.clone());
        let is_http1 = request.version() < Version::HTTP_2;
        async move {
            let found = servers.find(request.uri().path(), request.headers());
            let Some((mut service, request_token)) = found else {
                if servers.is_health_path(request.uri().path()) {
                    return entry.attach_to(health(request.method()));
                }
                let metadata = servers.metadata(request.uri().path(), request.method());
                let response = metadata.map_or_else(
                    || not_found(&servers.not_found()),
                    |response| response.map(|body| Either::Right(Full::from(body))),
                );
                return entry.attach_to(response);
            };
            let Ok(mut response) = tower_service::Service::call(&mut service, request).await;
            drop(request_token);
            if is_http1 && !readiness.is_ready() {
                // The next request of the client opens a new connection, to where it is sent now.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            entry.attach_to(response.map(Either::Left))
        }
    }
}

/// Says `ok` to anyone, and nothing else.
fn health(method: &Method) -> Response<RoutedBody> {
    match *method {
        Method::GET | Method::HEAD => text(StatusCode::OK, "ok\n".to_owned()),
        _ => {
            let reason = "405 Method Not Allowed. Use GET\n".to_owned();
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, reason);
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allowed);
            response
        }
    }
}

fn not_found(reason: &str) -> Response<RoutedBody> {
    text(StatusCode::NOT_FOUND, format!("404 Not Found. {reason}\n"))
}

fn text(status: StatusCode, text: String) -> Response<RoutedBody> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
