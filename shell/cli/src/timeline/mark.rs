//! Marks: what is drawn on a timeline.

use std::time::Duration;

use rejoin::rejoin_core::{
    CloseReason, CutReason, FailureReason, Head, Rejection, Report, RequestOutcome,
    SessionCloseReason, StreamId, UndeliverableReason,
};
use serde::{Serialize, Serializer};

/// Something that happened at one time. It never contains the body of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Mark {
    /// Milliseconds since the creation of the session.
    pub(crate) at: f64,
    /// Where it is drawn.
    pub(crate) row: Row,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// A row of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Session,
    Stream(StreamId),
}

/// What happened. The page has a sentence and a symbol for each.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum What {
    /// The session was initialized.
    Opened {
        client: Option<Box<str>>,
        revision: Option<String>,
    },
    Draining,
    /// The session was closed.
    Closed {
        reason: &'static str,
    },
    /// An input was not accepted.
    Rejected {
        /// What it was.
        input: String,
        by: &'static str,
        reason: String,
    },
    /// The client sent something else than a request.
    Posted {
        label: String,
    },
    /// A request was forwarded to the server.
    Began {
        request: String,
        /// Its method and tool, if they are known.
        name: Option<String>,
    },
    /// A request is no longer pending.
    Ended {
        request: String,
        outcome: &'static str,
    },
    /// A connection begins to deliver a stream.
    Attached {
        connection: u64,
        by: By,
    },
    /// A further GET, which gets nothing as long as another one is attached.
    Shadow {
        connection: u64,
    },
    /// A client came back.
    Resumed {
        connection: u64,
        after: u64,
        /// Number of events that it was sent at once.
        replayed: usize,
        /// How many of them had been sent before, if that is known.
        again: Option<usize>,
    },
    /// An event was sent on a connection.
    Sent {
        connection: u64,
        /// Its index; `None` for a whole answer in JSON.
        event: Option<u64>,
        class: Class,
        label: String,
        /// Whether it was sent before, on another connection.
        again: bool,
    },
    /// An event was recorded, and not sent yet.
    Kept {
        event: u64,
        class: Class,
        label: String,
    },
    /// A client was told that it has missed events.
    Gap {
        first: u64,
        last: u64,
    },
    /// The connection has taken all events through this one.
    Acknowledged {
        connection: u64,
        through: u64,
    },
    /// The client disconnected before the end.
    Lost {
        connection: u64,
        through: Option<u64>,
        /// Number of events that were sent and not acknowledged; `None` if that is unknown.
        in_flight: Option<u64>,
    },
    /// The session closed a connection in order.
    Ends {
        connection: u64,
        reason: &'static str,
    },
    /// The session cut a connection.
    Cut {
        connection: u64,
        reason: &'static str,
    },
    /// The sender of the server has to wait for the client.
    Held,
    Released,
    /// The server took too long to respond.
    TimedOut {
        request: String,
    },
    /// The stream was dropped before its client had got its end.
    Expired,
    /// A reader has taken nothing for too long.
    Stalled {
        connection: u64,
    },
    /// A response was too large to be kept.
    Evicted {
        request: String,
    },
    /// A response in JSON was lost with its connection.
    ResponseLost,
    /// A message was dropped.
    Dropped {
        reason: &'static str,
    },
    /// The process of the session has ended before the session.
    ProcessEnded,
    /// The page could not keep up: marks are missing here.
    Missing,
}

/// How a connection came to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    Post,
    Get,
    /// It was a shadow before.
    Promotion,
}

/// What an event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    Message,
    Request,
    Response,
    Failure,
    Priming,
}

impl Class {
    /// Returns the class of a message.
    pub(super) fn of(head: Option<&Head>) -> Self {
        match head {
            Some(Head::Response { .. } | Head::Error { .. }) => Self::Response,
            Some(Head::Request { .. }) => Self::Request,
            Some(Head::Notification(_)) | None => Self::Message,
        }
    }
}

impl Mark {
    pub(crate) fn new(at: Duration, row: Row, what: What) -> Self {
        // In microseconds, so that the text is short.
        let at = (at.as_secs_f64() * 1e6).round() / 1e3;
        Self { at, row, what }
    }

    /// Returns the mark of a report, unless another mark or none stands for it.
    pub(crate) fn of_report(at: Duration, report: &Report) -> Option<Self> {
        let (row, what) = match report {
            Report::StreamExpired { stream } => (Row::Stream(*stream), What::Expired),
            Report::ResponseLost { stream } => (Row::Stream(*stream), What::ResponseLost),
            Report::ResponseEvicted { stream, id } => {
                (Row::Stream(*stream), What::Evicted { request: id.to_string() })
            }
            Report::RequestEnded { stream, id, outcome } => {
                let (request, outcome) = (id.to_string(), outcome_text(*outcome));
                (Row::Stream(*stream), What::Ended { request, outcome })
            }
            Report::Undeliverable { reason, .. } => {
                let reason = match reason {
                    UndeliverableReason::UnknownRequest => "nobody had asked for it",
                    UndeliverableReason::CancelledRequest => "its request was cancelled",
                    UndeliverableReason::UnknownServerRequest => "the server did not wait for it",
                };
                (Row::Session, What::Dropped { reason })
            }
            Report::UnknownProgressToken { .. } => {
                (Row::Session, What::Dropped { reason: "its request was over" })
            }
            Report::ReaderStalled { connection } => {
                (Row::Session, What::Stalled { connection: connection.0 })
            }
            _ => return None,
        };
        Some(Self::new(at, row, what))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Session => serializer.serialize_str("session"),
            Self::Stream(stream) => serializer.collect_str(stream),
        }
    }
}

fn outcome_text(outcome: RequestOutcome) -> &'static str {
    match outcome {
        RequestOutcome::Result => "result",
        RequestOutcome::Error => "error",
        RequestOutcome::TooLarge => "too-large",
        RequestOutcome::Cancelled => "cancelled",
        RequestOutcome::Abandoned => "abandoned",
        RequestOutcome::Orphaned => "orphaned",
        RequestOutcome::BackendLost => "backend-lost",
    }
}

/// Returns why a session was closed, as the end of a sentence.
pub(super) fn closed(reason: SessionCloseReason) -> &'static str {
    match reason {
        SessionCloseReason::Deleted => "the client ended it",
        SessionCloseReason::ServerShutdown => "rejoin shut down",
        SessionCloseReason::Cancelled => "an operator or the server ended it",
        SessionCloseReason::InternalError => "rejoin has failed, because of a bug",
        SessionCloseReason::ExpectedInitialize => "the client did not begin with `initialize`",
        SessionCloseReason::InitializeRejected => "the server rejected `initialize`",
        SessionCloseReason::InitializeTimeout => "the server did not answer `initialize` in time",
        SessionCloseReason::InitializeUnacknowledged => {
            "the client disconnected before it had the answer to `initialize`"
        }
        SessionCloseReason::Idle => "the client did not use it for too long",
        SessionCloseReason::BackendGone => "the server has ended",
        SessionCloseReason::Exhausted => "it has no event ids left",
        SessionCloseReason::Moved => "another process has it",
    }
}

/// Returns why a connection was closed.
pub(super) fn ends(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Complete => "complete",
        CloseReason::Cancelled => "cancelled",
        CloseReason::Abandoned => "abandoned",
        CloseReason::Requested => "requested",
        CloseReason::TooManyShadows => "too-many-shadows",
        CloseReason::SessionClosed => "session-closed",
    }
}

/// Returns why a connection was cut.
pub(crate) fn cut(reason: CutReason) -> &'static str {
    match reason {
        CutReason::Replaced => "replaced",
        CutReason::Stalled => "stalled",
    }
}

/// Returns why a request has no response.
pub(super) fn failed(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::Evicted => "the response was too large to be kept",
        FailureReason::Expired => "the client came back too late",
        FailureReason::Orphaned => "the client did not come back in time",
        FailureReason::BackendGone => "the server has ended",
        FailureReason::SessionClosed => "the session was closed",
    }
}

/// Returns who is at fault.
pub(super) fn party_at_fault(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Client(_) => "client",
        Rejection::Backend(_) => "server",
        Rejection::ApiMisuse(_) => "rejoin",
        Rejection::Closed(_) | Rejection::Full | Rejection::Draining => "nobody",
    }
}
