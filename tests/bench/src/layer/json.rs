//! Session layers from JSON to JSON, with the parsing and serialization of an HTTP service.

use anyhow::Result;

use super::SessionLayer;

/// A session layer that parses its messages and serializes its events.
#[derive(Clone)]
pub(crate) struct Json<L>(pub(crate) L);

impl<L: SessionLayer> SessionLayer for Json<L> {
    type Session = L::Session;
    type Stream = L::Stream;
    type Message = String;

    fn parse(&self, json: String) -> Result<String> {
        Ok(json)
    }

    async fn open(&self) -> Result<L::Session> {
        self.0.open().await
    }

    async fn send(&self, session: &L::Session, json: String) -> Result<L::Stream> {
        self.0.send(session, self.0.parse(json)?).await
    }

    async fn next_events(&self, stream: &mut L::Stream) -> Result<usize> {
        self.0.next_events_as_json(stream).await
    }

    async fn next_events_as_json(&self, stream: &mut L::Stream) -> Result<usize> {
        self.0.next_events_as_json(stream).await
    }

    async fn first_id(&self, stream: &mut L::Stream) -> Result<String> {
        self.0.first_id(stream).await
    }

    async fn resume(&self, session: &L::Session, last_event_id: &str) -> Result<L::Stream> {
        self.0.resume(session, last_event_id).await
    }
}
