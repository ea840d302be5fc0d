//! Session layers behind one trait.

mod hop;
mod json;
mod rejoin;
mod rmcp;
mod rmcp_http;

use anyhow::Result;

pub(crate) use self::{
    hop::ChannelHop,
    json::Json,
    rejoin::{Limits, Rejoin},
    rmcp::Rmcp,
    rmcp_http::RmcpHttp,
};
use crate::message::{self, Tool};

/// A session layer and its backend.
pub(crate) trait SessionLayer: Clone + Send + Sync + 'static {
    /// A session, from the side of its client.
    type Session: Send + Sync + 'static;
    /// The stream of a request, or a resumed stream.
    type Stream: Send + 'static;
    /// A parsed message of the client.
    type Message: Send + 'static;

    /// Parses a message.
    fn parse(&self, json: String) -> Result<Self::Message>;

    /// Opens a session, up to the response to `initialize`.
    fn open(&self) -> impl Future<Output = Result<Self::Session>> + Send;

    /// Sends a request, and returns its stream.
    fn send(
        &self,
        session: &Self::Session,
        message: Self::Message,
    ) -> impl Future<Output = Result<Self::Stream>> + Send;

    /// Receives one or more events, and returns their number; 0 at the end.
    fn next_events(&self, stream: &mut Self::Stream) -> impl Future<Output = Result<usize>> + Send;

    /// Receives one or more events, serializes their messages as JSON, and returns their number; 0
    /// at the end.
    fn next_events_as_json(
        &self,
        stream: &mut Self::Stream,
    ) -> impl Future<Output = Result<usize>> + Send;

    /// Receives the first event of a stream, which must be the only one so far, and returns its id.
    fn first_id(&self, stream: &mut Self::Stream) -> impl Future<Output = Result<String>> + Send;

    /// Resumes a stream after an event.
    fn resume(
        &self,
        session: &Self::Session,
        last_event_id: &str,
    ) -> impl Future<Output = Result<Self::Stream>> + Send;
}

/// Returns a tool call as a message of the layer.
pub(crate) fn call<L: SessionLayer>(
    layer: &L,
    id: i64,
    tool: Tool,
    text: &str,
) -> Result<L::Message> {
    layer.parse(message::call(id, tool, text))
}

/// Receives the events of a stream to its end, and returns their number.
pub(crate) async fn drain<L: SessionLayer>(layer: &L, stream: &mut L::Stream) -> Result<usize> {
    let mut events = 0;
    loop {
        match layer.next_events(stream).await? {
            0 => return Ok(events),
            count => events += count,
        }
    }
}
