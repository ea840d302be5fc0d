//! Routing: the MCP endpoint of each server, and 404 for any other path.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::Service};
use rejoin::PeerAddress;

use super::{
    access_log::{AccessLogEntry, LoggedBody},
    activity::Activity,
    bodies::{TrackedRequestBody, TrackedResponseBody},
    servers::Servers,
};

#[derive(Clone)]
pub(super) struct Router {
    servers: Servers,
}

/// The service of one connection.
pub(super) struct ConnectionService {
    router: Router,
    activity: Arc<Activity>,
    peer: PeerAddress,
}

type RoutedResponse = Response<Either<TrackedResponseBody, Full<Bytes>>>;
type LoggedResponse = Response<LoggedBody<Either<TrackedResponseBody, Full<Bytes>>>>;

impl Router {
    pub(super) fn new(servers: Servers) -> Self {
        Self { servers }
    }

    pub(super) fn service_for(
        &self,
        activity: Arc<Activity>,
        peer: SocketAddr,
    ) -> ConnectionService {
        ConnectionService { router: self.clone(), activity, peer: PeerAddress(peer) }
    }
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = LoggedResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<LoggedResponse, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        let activity = Arc::clone(&self.activity);
        let entry = AccessLogEntry::new(&request);
        let servers = &self.router.servers;
        let Some(mut service) = servers.find(request.uri().path(), request.headers()) else {
            let metadata = servers.metadata(request.uri().path(), request.method());
            let response = metadata.map_or_else(
                || not_found(&servers.not_found()),
                |response| response.map(|body| Either::Right(Full::from(body))),
            );
            drop(TrackedRequestBody::new(request.into_body(), Arc::clone(&activity)));
            activity.on_response_started();
            activity.on_response_complete();
            return Box::pin(async { Ok(entry.attach_to(response)) });
        };
        let request = request.map(|body| TrackedRequestBody::new(body, Arc::clone(&activity)));
        let response = tower_service::Service::call(&mut service, request);
        Box::pin(async {
            let response = response.await?;
            let content_type = response.headers().get(header::CONTENT_TYPE);
            let is_stream = content_type.is_some_and(|value| value == "text/event-stream");
            let response = response
                .map(|body| Either::Left(TrackedResponseBody::new(body, is_stream, activity)));
            Ok(entry.attach_to(response))
        })
    }
}

fn not_found(reason: &str) -> RoutedResponse {
    let text = format!("404 Not Found. {reason}\n");
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
