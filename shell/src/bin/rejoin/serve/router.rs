//! The endpoint, and nothing beside it.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::Service};
use rejoin::{ResponseBody, StreamableHttp};

#[derive(Clone)]
pub(super) struct Router {
    path: Arc<str>,
    service: StreamableHttp,
}

type Answer = Response<Either<ResponseBody, Full<Bytes>>>;

impl Router {
    pub(super) fn new(path: String, service: StreamableHttp) -> Self {
        Self { path: path.into(), service }
    }
}

impl Service<Request<Incoming>> for Router {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() != &*self.path {
            let answer = not_found(&self.path);
            return Box::pin(async { Ok(answer) });
        }
        let answer = tower_service::Service::call(&mut self.service.clone(), request);
        Box::pin(async { Ok(answer.await?.map(Either::Left)) })
    }
}

fn not_found(path: &str) -> Answer {
    let text = format!("There is nothing here. The endpoint is {path}\n");
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
