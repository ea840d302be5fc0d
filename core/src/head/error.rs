//! Errors of parsing a message.

use thiserror::Error;

use crate::{ID_BYTES_MAX, RequestId};

/// An error of parsing a message or a batch. The sender of the bytes is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There are no bytes except whitespace.
    #[error("the message is empty")]
    Empty,
    /// The bytes are not valid UTF-8.
    #[error("invalid UTF-8 at byte {offset} of the message")]
    NotUtf8 {
        /// The offset of the first invalid byte.
        offset: usize,
    },
    /// The text is not valid JSON, or is truncated.
    #[error("invalid JSON at line {line}, column {column}")]
    NotJson {
        /// The line of the error, counted from 1.
        line: usize,
        /// The column of the error, in bytes.
        column: usize,
    },
    /// Something other than whitespace follows the JSON value.
    #[error("trailing characters after the message at line {line}, column {column}")]
    TrailingBytes {
        /// The line of the first such character, counted from 1.
        line: usize,
        /// The column of that character, in bytes.
        column: usize,
    },
    /// The batch has no entries.
    #[error("the batch is empty")]
    BatchEmpty,
    /// The batch has too many entries.
    #[error("the batch has more than {max} messages")]
    BatchTooLong {
        /// Maximum messages per batch.
        max: usize,
    },
    /// The JSON value is not a valid JSON-RPC message.
    #[error("{fault}")]
    Message {
        /// What is wrong with the message.
        fault: MessageFault,
        /// The id of the message, if it has a method and a valid id.
        id: Option<RequestId>,
    },
    /// An entry of the batch is not a valid JSON-RPC message.
    #[error("message {index} of the batch: {fault}")]
    Entry {
        /// The position of the entry, counted from 0.
        index: usize,
        /// What is wrong with the message.
        fault: MessageFault,
        /// The id of the message, if it has a method and a valid id.
        id: Option<RequestId>,
    },
}

impl ParseError {
    /// Returns the code for a JSON-RPC error response to the sender.
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

    /// Returns the id for a JSON-RPC error response to the sender.
    ///
    /// This is the id of the message, if it is valid and the message has a method. The id of
    /// a response is not returned, because it names a request of the other side.
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

    /// Converts the error of a message into that of a batch entry.
    pub(super) fn in_entry(self, index: usize) -> Self {
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

/// What is wrong with a JSON value that is not a valid JSON-RPC message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageFault {
    /// It is not an object.
    #[error("a message must be a JSON object")]
    NotObject,
    /// It is valid JSON that Rust cannot represent: a string with an unpaired surrogate, or a
    /// number out of range.
    #[error("the message has a string with an unpaired surrogate, or a number out of range")]
    Unrepresentable,
    /// A member that a session reads is duplicated. Parsers disagree on which one counts.
    #[error("duplicate member `{member}`")]
    Duplicate {
        /// The path of the member.
        member: &'static str,
    },
    /// The `jsonrpc` member is missing or not `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    WrongVersion,
    /// It has no method, no result and no error.
    #[error("a message must have a `method`, a `result` or an `error`")]
    NoMethodOrResult,
    /// It has a method, and a result or an error.
    #[error("a message with a `method` must have neither `result` nor `error`")]
    MethodWithResult,
    /// It has a result and an error.
    #[error("a message must not have both `result` and `error`")]
    ResultAndError,
    /// The method is not a string.
    #[error("`method` must be a string")]
    MethodNotString,
    /// The parameters are a string, a number or a boolean.
    #[error("`params` must be an object or an array")]
    ParamsNotStructured,
    /// The id of a request is null.
    #[error("the `id` of a request must not be null")]
    RequestIdNull,
    /// It has a result, and its id is missing or null.
    #[error("a message with a `result` must have the `id` of the request")]
    ResponseWithoutId,
    /// An id or progress token has the wrong type.
    #[error(
        "`{member}` must be a string or an integer from -2^63 to 2^63 - 1 (2^53, with a fraction or exponent)"
    )]
    InvalidId {
        /// The path of the member.
        member: &'static str,
    },
    /// An id or progress token is a string with an unpaired surrogate.
    #[error("`{member}` has an unpaired surrogate")]
    NotUnicode {
        /// The path of the member.
        member: &'static str,
    },
    /// An id or progress token is too long.
    #[error("`{member}` is longer than {ID_BYTES_MAX} bytes")]
    IdTooLong {
        /// The path of the member.
        member: &'static str,
    },
}
