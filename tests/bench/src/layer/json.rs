//! A layer from JSON to JSON: with what an HTTP service reads and writes around it.

use anyhow::Result;

use super::Layer;

/// A layer that is handed text, and whose events are written.
#[derive(Clone)]
pub(crate) struct Json<L>(pub(crate) L);

impl<L: Layer> Layer for Json<L> {
    type Session = L::Session;
    type Stream = L::Stream;
    type Message = String;

    fn read(&self, json: String) -> Result<String> {
        Ok(json)
    }

    async fn open(&self) -> Result<L::Session> {
        self.0.open().await
    }

    async fn send(&self, session: &L::Session, json: String) -> Result<L::Stream> {
        self.0.send(session, self.0.read(json)?).await
    }

    async fn take(&self, stream: &mut L::Stream) -> Result<usize> {
        self.0.write(stream).await
    }

    async fn write(&self, stream: &mut L::Stream) -> Result<usize> {
        self.0.write(stream).await
    }

    async fn first_id(&self, stream: &mut L::Stream) -> Result<String> {
        self.0.first_id(stream).await
    }

    async fn resume(&self, session: &L::Session, last_event_id: &str) -> Result<L::Stream> {
        self.0.resume(session, last_event_id).await
    }
}
