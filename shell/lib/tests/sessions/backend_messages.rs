//! Messages from backends: heads that they supply, nesting depth.

use rejoin::{ManagerConfig, SendError, ServerMessage, SseEvent};
use rejoin_core::{AnswerFormat, Head, Initialized, Method, Notification, RequestId};

use crate::support::{Server, message, next, post};

#[tokio::test(start_paused = true)]
async fn message_with_a_head_is_routed_by_it_and_not_parsed() {
    let server = Server::start();
    let session = server.initialized().await;
    let backend = server.backend().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    let log = Head::Notification(Notification::Log);
    let related = Some(RequestId::from(1));
    let log = ServerMessage::with_head(log, "not\nJSON");
    backend.client().send(log, related).await.unwrap();
    let response =
        Head::Response { id: 1.into(), initialized: Initialized::default(), creates_task: false };
    let response = ServerMessage::with_head(response, "a response");
    backend.client().send(response, None).result().unwrap();
    let mut bodies = Vec::new();
    while let Some(event) = next(&mut connection).await {
        if let SseEvent::Message { data, .. } = event {
            bodies.push(data);
        }
    }
    assert_eq!(bodies, ["not JSON", "a response"]);
    let ping = Head::Request { id: 7.into(), method: Method::Other, progress_token: None };
    let ping = || ServerMessage::with_head(ping.clone(), "a request");
    backend.client().send(ping(), None).result().unwrap();
    let again = backend.client().send(ping(), None);
    assert!(matches!(again.result(), Err(SendError::Rejected(_))), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn backend_message_that_is_nested_too_deeply_is_rejected() {
    let mut config = ManagerConfig::default();
    config.json_depth_max = 8;
    let server = Server::with(config);
    let _session = server.initialized().await;
    let backend = server.backend().await;
    let client = backend.client();
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 2), "]".repeat(levels - 2));
        message(&format!(r#""method":"n","params":{{"a":{open}{close}}}"#))
    };
    let head = || Head::Notification(Notification::Other);
    let too_deep = Err(SendError::TooDeep(rejoin::TooDeep { max: 8 }));
    for (levels, sent) in [(8, Ok(())), (9, too_deep)] {
        assert_eq!(client.send(nested(levels), None).await, sent);
        assert_eq!(client.send(ServerMessage::with_head(head(), nested(levels)), None).await, sent);
    }
}
