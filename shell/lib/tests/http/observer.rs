//! What an observer is told of HTTP requests.

use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use rejoin::{
    HttpConfig, ManagerConfig, ObservedRequest, Observer, Refused, SessionEvent, SessionId,
    StreamableHttp,
};
use rejoin_core::AnswerFormat;
use serde_json::json;

use crate::{
    server::HttpServer,
    support::{Server, post},
};

#[derive(Default)]
struct Recorder {
    begun: Mutex<Vec<Arc<ObservedRequest>>>,
    refused: Mutex<Vec<Refused>>,
}

impl Observer for Recorder {
    fn on_session_event(&self, _: SessionId, event: &SessionEvent) {
        if let SessionEvent::RequestBegan { request, .. } = event {
            self.begun.lock().unwrap().push(Arc::clone(request));
        }
    }

    fn on_refused(&self, refused: &Refused) {
        self.refused.lock().unwrap().push(refused.clone());
    }
}

async fn observed() -> (Arc<Recorder>, HttpServer) {
    let recorder = Arc::<Recorder>::default();
    let observer = Arc::clone(&recorder);
    let manager = Server::built(ManagerConfig::default(), |builder| builder.observer(observer));
    let service = StreamableHttp::new(manager.sessions.clone(), HttpConfig::default()).unwrap();
    (recorder, HttpServer::serve(manager, service).await)
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const HTTP_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-aaaa6b7169203331-01";

#[tokio::test]
async fn a_request_has_the_trace_contexts_of_its_message_and_of_its_http_request() {
    let (recorder, server) = observed().await;
    let (session, client) = server.session().await;
    let mut backend = server.manager.backend().await;
    let call = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {
        "name": "add", "_meta": { "traceparent": PARENT, "tracestate": "k=v" },
    }});
    let response = tokio::spawn(async move {
        let headers = [("traceparent", HTTP_PARENT)];
        client.send(Method::POST, call.to_string(), &headers).await.response().await
    });
    backend.receive().await;
    backend.send(r#""id":"a","result":{}"#).await;
    response.await.unwrap();
    let begun = recorder.begun.lock().unwrap().last().cloned().unwrap();
    assert_eq!(&*begun.details.method, "tools/call");
    assert_eq!(begun.details.target.as_deref(), Some("add"));
    assert_eq!(begun.details.traceparent.as_deref(), Some(PARENT));
    assert_eq!(begun.details.tracestate.as_deref(), Some("k=v"));
    assert_eq!(begun.http_traceparent.as_deref(), Some(HTTP_PARENT));

    // Without the HTTP service, the message is parsed for it.
    let call = post(r#""id":2,"method":"tools/call","params":{"name":"sub"}"#);
    let _connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    let begun = recorder.begun.lock().unwrap().last().cloned().unwrap();
    assert_eq!(begun.details.target.as_deref(), Some("sub"));
    assert_eq!(begun.http_traceparent, None);
}

/// An observer that counts requests, and does not trace them.
#[derive(Default)]
struct Counter(Mutex<Vec<Arc<ObservedRequest>>>);

impl Observer for Counter {
    fn on_session_event(&self, _: SessionId, event: &SessionEvent) {
        if let SessionEvent::RequestEnded { request, .. } = event {
            self.0.lock().unwrap().push(Arc::clone(request));
        }
    }

    fn traces_requests(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn requests_that_are_only_counted_have_no_trace_context_of_their_http_request() {
    let counter = Arc::<Counter>::default();
    let observer = Arc::clone(&counter);
    let manager = Server::built(ManagerConfig::default(), |builder| builder.observer(observer));
    let service = StreamableHttp::new(manager.sessions.clone(), HttpConfig::default()).unwrap();
    let server = HttpServer::serve(manager, service).await;
    let (_session, client) = server.session().await;
    let mut backend = server.manager.backend().await;
    let call = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {
        "name": "add", "_meta": { "traceparent": PARENT },
    }});
    let response = tokio::spawn(async move {
        let headers = [("traceparent", HTTP_PARENT)];
        client.send(Method::POST, call.to_string(), &headers).await.response().await
    });
    backend.receive().await;
    backend.send(r#""id":"a","result":{}"#).await;
    response.await.unwrap();
    let ended = counter.0.lock().unwrap().last().cloned().unwrap();
    assert_eq!(ended.details.target.as_deref(), Some("add"));
    assert_eq!(ended.http_traceparent, None);
}

#[tokio::test]
async fn refused_requests_are_told_with_status_and_option() {
    let (recorder, server) = observed().await;
    let (_, client) = server.session().await;
    let nested = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    assert_eq!(client.send(Method::POST, nested, &[]).await.status, StatusCode::BAD_REQUEST);
    let unknown = client.with_session("00000000-0000-4000-8000-000000000000");
    assert_eq!(unknown.delete().await.status, StatusCode::NOT_FOUND);
    let refused = recorder.refused.lock().unwrap().clone();
    let seen: Vec<_> =
        refused.iter().map(|it| (it.method.as_str(), it.status.as_u16(), it.option)).collect();
    assert_eq!(seen, [("POST", 400, Some("--max-json-depth")), ("DELETE", 404, None)]);
}
