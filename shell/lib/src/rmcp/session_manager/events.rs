//! The events of a connection, as the HTTP service of rmcp writes them.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use rejoin_core::EventId;
use rmcp::{
    model::{JsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::session::ServerSseMessage,
};

use super::payload::{RmcpMessages, ServerMessage};
use crate::{Connection, SseEvent};

/// The id of the only event of a shadow: a client that resumes after it has received nothing on
/// that connection.
pub(super) const SHADOW_ID: &str = "shadow";

/// The events of a connection.
pub(super) struct ServerEvents {
    connection: Connection<RmcpMessages>,
    /// The reconnect delay of priming events that have none.
    retry: Option<Duration>,
    /// An event that precedes them, with an id alone.
    first: Option<ServerSseMessage>,
}

impl ServerEvents {
    pub(super) fn new(connection: Connection<RmcpMessages>, retry: Option<Duration>) -> Self {
        Self { connection, retry, first: None }
    }

    /// Returns the events of a connection to the standalone stream.
    ///
    /// The HTTP service begins the response with an event of its own, whose id is that of the
    /// beginning of the stream. A client that resumes after that id would get every event again. So
    /// where the connection begins later, an event with the right id follows.
    pub(super) fn standalone(
        connection: Connection<RmcpMessages>,
        retry: Option<Duration>,
    ) -> Self {
        let id = match connection.start() {
            Some(EventId { index: 0, .. }) => None,
            Some(id) => Some(id.to_string()),
            None => Some(SHADOW_ID.to_owned()),
        };
        let first = id.map(|id| {
            let mut event = ServerSseMessage::default();
            event.event_id = Some(id);
            event
        });
        Self { connection, retry, first }
    }

    fn to_rmcp(&self, event: SseEvent<ServerMessage>) -> Option<ServerSseMessage> {
        match event {
            SseEvent::Message { id, data } => Some(message(id, data)),
            SseEvent::Priming { id, retry } => {
                let mut event = ServerSseMessage::default();
                event.event_id = Some(id.to_string());
                event.retry = retry.or(self.retry);
                Some(event)
            }
            // rmcp has no comments, by which other clients could be told of it.
            SseEvent::Gap { id, notification, .. } => {
                notification.map(|notification| message(Some(id), notification))
            }
        }
    }
}

fn message(id: Option<EventId>, message: ServerMessage) -> ServerSseMessage {
    let mut event = ServerSseMessage::default();
    event.event_id = id.map(|id| id.to_string());
    event.message = Some(message.message);
    event
}

impl Stream for ServerEvents {
    type Item = ServerSseMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServerSseMessage>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        loop {
            let event = ready!(Pin::new(&mut self.connection).poll_next(cx));
            let Some(event) = event else { return Poll::Ready(None) };
            if let Some(event) = self.to_rmcp(event) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

/// Returns the response of a connection. Earlier messages are dropped: rmcp has no way to send
/// them before the response to `initialize`.
pub(super) async fn response(
    mut connection: Connection<RmcpMessages>,
) -> Option<ServerJsonRpcMessage> {
    loop {
        match poll_fn(|cx| Pin::new(&mut connection).poll_next(cx)).await? {
            SseEvent::Message { data, .. } => match Arc::unwrap_or_clone(data.message) {
                response @ (JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)) => {
                    return Some(response);
                }
                JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => {}
            },
            SseEvent::Priming { .. } | SseEvent::Gap { .. } => {}
        }
    }
}
