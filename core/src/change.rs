//! Records of what changes in a session, from which another process can go on with it.

use alloc::vec::Vec;

use crate::{Entry, ProgressToken, RequestId, StreamId};

/// A change of a session, and its place among all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record<M> {
    /// The number of the change in the session-wide sequence. A change that
    /// [takes none](Change::takes_number) has that of the last one that did.
    pub sequence: u64,
    /// The change.
    pub change: Change<M>,
}

/// Something that changes in a session.
///
/// Each is an effect, not an input, so that a version that decides differently repeats what was
/// decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Change<M> {
    /// A request stream has opened.
    Opened {
        /// Its number.
        number: u64,
        /// Its requests, with their progress tokens, in the order of the POST.
        requests: Vec<(RequestId, Option<ProgressToken>)>,
    },
    /// An event was logged. A response or a failure ends its request.
    Logged {
        /// The stream.
        stream: StreamId,
        /// The index of the event.
        index: u64,
        /// The event.
        entry: Entry<M>,
    },
    /// An event was evicted as soon as it was recorded, without a failure in its place.
    Missed {
        /// The stream.
        stream: StreamId,
        /// The index of the event.
        index: u64,
    },
    /// A request stream is complete.
    Completed {
        /// Its number.
        number: u64,
    },
    /// A request stream was cancelled, with all its pending requests.
    Cancelled {
        /// Its number.
        number: u64,
    },
    /// A request was cancelled, and others of its stream were not.
    RequestCancelled {
        /// The id of the request.
        id: RequestId,
    },
    /// A server request is no longer waiting.
    ServerRequestEnded {
        /// The id of the server request.
        id: RequestId,
        /// Whether its event has left the log with it.
        is_retracted: bool,
    },
    /// A response has created a task, whose progress has this token.
    TaskCreated {
        /// The progress token.
        token: ProgressToken,
    },
    /// The acknowledged index of the standalone stream has risen, or the client has acknowledged
    /// everything on a complete stream.
    Acknowledged {
        /// The stream.
        stream: StreamId,
        /// The acknowledged index.
        through: u64,
    },
}

impl<M> Record<M> {
    pub(crate) fn map<N>(&self, message: impl FnOnce(&M) -> N) -> Record<N> {
        Record { sequence: self.sequence, change: self.change.map(message) }
    }
}

impl<M> Change<M> {
    /// Returns whether it takes a number of the session-wide sequence.
    #[must_use]
    pub const fn takes_number(&self) -> bool {
        match self {
            Self::Opened { .. }
            | Self::Logged { .. }
            | Self::Completed { .. }
            | Self::Cancelled { .. } => true,
            Self::Missed { .. }
            | Self::RequestCancelled { .. }
            | Self::ServerRequestEnded { .. }
            | Self::TaskCreated { .. }
            | Self::Acknowledged { .. } => false,
        }
    }

    fn map<N>(&self, message: impl FnOnce(&M) -> N) -> Change<N> {
        match *self {
            Self::Opened { number, ref requests } => {
                Change::Opened { number, requests: requests.clone() }
            }
            Self::Logged { stream, index, ref entry } => {
                Change::Logged { stream, index, entry: entry.map(message) }
            }
            Self::Missed { stream, index } => Change::Missed { stream, index },
            Self::Completed { number } => Change::Completed { number },
            Self::Cancelled { number } => Change::Cancelled { number },
            Self::RequestCancelled { ref id } => Change::RequestCancelled { id: id.clone() },
            Self::ServerRequestEnded { ref id, is_retracted } => {
                Change::ServerRequestEnded { id: id.clone(), is_retracted }
            }
            Self::TaskCreated { ref token } => Change::TaskCreated { token: token.clone() },
            Self::Acknowledged { stream, through } => Change::Acknowledged { stream, through },
        }
    }
}
