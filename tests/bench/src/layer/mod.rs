//! Session layers in this process, behind one interface.

mod hop;
mod json;
mod rejoin;
mod rmcp;

use anyhow::Result;

pub(crate) use self::{
    hop::ChannelHop,
    json::Json,
    rejoin::{Limits, Rejoin},
    rmcp::Rmcp,
};
use crate::message::{self, Tool};

/// A session layer, and what answers behind it.
pub(crate) trait SessionLayer: Clone + Send + Sync + 'static {
    /// A session, as its client has it.
    type Session: Send + Sync + 'static;
    /// What carries the answer to a request, or a stream that is resumed.
    type Stream: Send + 'static;
    /// A message of the client that was read, as the layer takes it.
    type Message: Send + 'static;

    /// Reads a message.
    fn parse(&self, json: String) -> Result<Self::Message>;

    /// Begins a session, through the answer to `initialize`.
    fn open(&self) -> impl Future<Output = Result<Self::Session>> + Send;

    /// Hands a call over; the answer comes on the stream.
    fn send(
        &self,
        session: &Self::Session,
        message: Self::Message,
    ) -> impl Future<Output = Result<Self::Stream>> + Send;

    /// Takes one or more events, and returns how many; 0 is the end.
    fn next_events(&self, stream: &mut Self::Stream) -> impl Future<Output = Result<usize>> + Send;

    /// Takes events likewise, and writes their messages as JSON.
    fn next_events_as_json(
        &self,
        stream: &mut Self::Stream,
    ) -> impl Future<Output = Result<usize>> + Send;

    /// Takes the first event of a stream, which must be alone, and returns its id.
    fn first_id(&self, stream: &mut Self::Stream) -> impl Future<Output = Result<String>> + Send;

    /// Resumes a stream after an event.
    fn resume(
        &self,
        session: &Self::Session,
        last_event_id: &str,
    ) -> impl Future<Output = Result<Self::Stream>> + Send;
}

/// Returns the call of a tool, as the layer takes it.
pub(crate) fn call<L: SessionLayer>(
    layer: &L,
    id: i64,
    tool: Tool,
    text: &str,
) -> Result<L::Message> {
    layer.parse(message::call(id, tool, text))
}

/// Takes events to the end of a stream, and returns how many there were.
pub(crate) async fn drain<L: SessionLayer>(layer: &L, stream: &mut L::Stream) -> Result<usize> {
    let mut events = 0;
    loop {
        match layer.next_events(stream).await? {
            0 => return Ok(events),
            taken => events += taken,
        }
    }
}
