//! Packets: what a client sent, on its way to the server.

use rejoin_core::{AnswerFormat, EventId, Message, Post, SessionCloseReason};

use super::event_queue::{ClientNo, LinkNo, Serial, ServerNo};
use super::invalid_input::InvalidInput;

/// A packet to the server.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// A POST with requests.
    Requests { link: LinkNo, format: AnswerFormat, post: Post<u64> },
    /// A GET.
    Get { link: LinkNo, last_event_id: Option<EventId> },
    /// A POST without a request.
    ClientMessage {
        client: ClientNo,
        server: ServerNo,
        message: Message<u64>,
        cancels: Option<Serial>,
    },
    /// A DELETE of the session.
    Delete { client: ClientNo, server: ServerNo },
    /// An invalid input.
    Invalid { server: ServerNo, invalid: InvalidInput },
    /// The operator closes the session.
    Shutdown { server: ServerNo, reason: SessionCloseReason },
    /// The operator drains the session.
    Drain { server: ServerNo },
    /// The driver abandons the stream of a request.
    Abandon { server: ServerNo, serial: Serial },
}
