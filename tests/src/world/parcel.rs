//! Parcels: what a client sent, on its way to the server.

use rejoin_core::{AnswerFormat, CloseReason, EventId, Message, Post};

use super::agenda::{ClientNo, LineNo, Serial, ServerNo};
use super::wrong::Wrong;

/// What a client sent.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    /// A POST with requests.
    Requests { line: LineNo, format: AnswerFormat, post: Post<u64> },
    /// A wish for a stream whose request comes later, on the same connection.
    Reserve { line: LineNo, format: AnswerFormat, post: Post<u64> },
    /// A GET.
    Get { line: LineNo, last_event_id: Option<EventId> },
    /// A POST without a request.
    Told { client: ClientNo, server: ServerNo, message: Message<u64>, cancels: Option<Serial> },
    /// The end of the session.
    Delete { client: ClientNo, server: ServerNo },
    /// What must be refused.
    Wrong { server: ServerNo, wrong: Wrong },
    /// Whoever runs the session ends it.
    Shutdown { server: ServerNo, reason: CloseReason },
    /// The driver gives up the stream of a request.
    Abandon { server: ServerNo, serial: Serial },
}
