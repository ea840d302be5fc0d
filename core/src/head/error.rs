//! Why bytes are no message.

use thiserror::Error;

use crate::{ID_BYTES_MAX, RequestId};

/// Says why bytes are no message, or no batch of messages. Their sender is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Nothing is there but whitespace.
    #[error("the message is empty")]
    Empty,
    /// The bytes are no UTF-8.
    #[error("the message is not UTF-8 from byte {offset} on")]
    NotUtf8 {
        /// How many bytes before the fault are well-formed.
        offset: usize,
    },
    /// The text is no JSON, or ends too early.
    #[error("the message is not JSON: line {line}, column {column}")]
    NotJson {
        /// The line of the fault, counted from 1.
        line: usize,
        /// Its column, in bytes.
        column: usize,
    },
    /// A JSON value is there, and something after it.
    #[error("the message is followed by something else: line {line}, column {column}")]
    TrailingBytes {
        /// The line of what follows, counted from 1.
        line: usize,
        /// Its column, in bytes.
        column: usize,
    },
    /// The batch has no entry.
    #[error("the batch is empty")]
    BatchEmpty,
    /// The batch has too many entries.
    #[error("the batch has more than {max} messages")]
    BatchTooLong {
        /// How many are allowed.
        max: usize,
    },
    /// The JSON is no JSON-RPC message.
    #[error("{fault}")]
    Message {
        /// What is wrong with it.
        fault: MessageFault,
        /// Its id, where it has a method and an id that can be read.
        id: Option<RequestId>,
    },
    /// An entry of the batch is no JSON-RPC message.
    #[error("entry {index} of the batch: {fault}")]
    Entry {
        /// Which one, counted from 0.
        index: usize,
        /// What is wrong with it.
        fault: MessageFault,
        /// Its id, where it has a method and an id that can be read.
        id: Option<RequestId>,
    },
}

impl ParseError {
    /// Returns the code of the JSON-RPC error that tells the sender.
    ///
    /// Specification: JSON-RPC 2.0, section 5.1.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Empty
            | Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::TrailingBytes { .. } => -32_700,
            Self::BatchEmpty
            | Self::BatchTooLong { .. }
            | Self::Message { .. }
            | Self::Entry { .. } => -32_600,
        }
    }

    /// Returns the id for the JSON-RPC error that tells the sender.
    ///
    /// It is the id of what was meant as a request, where that could be read.
    /// An answer's id is not returned: it names a request of the other side.
    #[must_use]
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Message { id, .. } | Self::Entry { id, .. } => id.as_ref(),
            Self::Empty
            | Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::TrailingBytes { .. }
            | Self::BatchEmpty
            | Self::BatchTooLong { .. } => None,
        }
    }

    /// Says that it happened in an entry of a batch.
    pub(super) fn of_entry(self, index: usize) -> Self {
        match self {
            Self::Message { fault, id } => Self::Entry { index, fault, id },
            Self::Empty
            | Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::TrailingBytes { .. }
            | Self::BatchEmpty
            | Self::BatchTooLong { .. }
            | Self::Entry { .. } => self,
        }
    }
}

impl From<MessageFault> for ParseError {
    fn from(fault: MessageFault) -> Self {
        Self::Message { fault, id: None }
    }
}

/// Says why a JSON value is no JSON-RPC message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageFault {
    /// It is something else than an object.
    #[error("a message must be a JSON object")]
    NotObject,
    /// A name in it is no Unicode text, or a number where an object belongs is out of range.
    #[error("the message has a name with half of a surrogate pair, or a number out of range")]
    Unreadable,
    /// A member that a session reads is there twice, so that two readers could disagree.
    #[error("`{member}` is there twice")]
    Duplicate {
        /// The path of the member.
        member: &'static str,
    },
    /// It does not say that it is JSON-RPC 2.0.
    #[error("`jsonrpc` must be \"2.0\"")]
    Version,
    /// It is neither a call nor an answer.
    #[error("a message must have a `method`, a `result` or an `error`")]
    Neither,
    /// It is a call and an answer.
    #[error("a message with a `method` must have neither `result` nor `error`")]
    MethodAndAnswer,
    /// It is two answers.
    #[error("a message must not have both `result` and `error`")]
    ResultAndError,
    /// Its method is no string.
    #[error("`method` must be a string")]
    MethodNotString,
    /// Its parameters are a string, a number or a boolean.
    #[error("`params` must be an object or an array")]
    ParamsNotStructured,
    /// It is a request whose id is null.
    #[error("the `id` of a request must not be null")]
    RequestIdNull,
    /// It is a successful answer that does not say to what.
    #[error("a message with a `result` must have the `id` of the request")]
    ResponseWithoutId,
    /// An id or progress token has the wrong type.
    #[error(
        "`{member}` must be a string or an integer from -2^63 to 2^63 - 1 (2^53, with a fraction or exponent)"
    )]
    NotId {
        /// The path of the member.
        member: &'static str,
    },
    /// An id or progress token is a string that no Unicode text can hold.
    #[error("`{member}` has an escape that is half of a surrogate pair")]
    NotUnicode {
        /// The path of the member.
        member: &'static str,
    },
    /// An id or progress token is too long.
    #[error("`{member}` is longer than {ID_BYTES_MAX} bytes")]
    TooLong {
        /// The path of the member.
        member: &'static str,
    },
}
