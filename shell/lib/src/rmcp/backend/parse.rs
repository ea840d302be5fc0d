//! Parser for client messages, from bytes to the types of rmcp.

use std::borrow::Cow;

use rejoin_core::{Head, Parsed};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, NumberOrString};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::methods::{METHODS, RawRequest};

/// Why a message cannot be parsed: the client sent an invalid one.
#[derive(Debug, Error)]
pub(super) enum MessageError {
    /// The message does not match the types of rmcp.
    #[error("cannot parse the message: {0}")]
    Message(#[from] serde_json::Error),
    /// The parameters do not match the method.
    #[error("invalid parameters for `{0}`")]
    Params(&'static str),
}

/// The members that determine how to parse the rest.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<NumberOrString>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// Parses a message; a request of a known method by the type of that method.
///
/// rmcp itself would try one type after the other, and treat a request with invalid parameters as
/// one of an unknown method.
pub(super) fn parse(message: &[u8]) -> Result<ClientJsonRpcMessage, MessageError> {
    let Envelope { id, method, params } = serde_json::from_slice(message)?;
    let known = METHODS.iter().find(|(known, _)| *known == method);
    let (Some(id), Some((method, parse))) = (id, known) else {
        return Ok(serde_json::from_slice(message)?);
    };
    let request =
        parse(&RawRequest { message, params }).map_err(|_| MessageError::Params(method))?;
    Ok(JsonRpcMessage::request(request, id))
}

impl MessageError {
    /// Returns the code of the JSON-RPC error for the client.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Message(_) => -32_600,
            Self::Params(_) => -32_602,
        }
    }
}

/// Parses the head of a message that a session has accepted.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    match rejoin_core::parse_head(bytes, 0).ok()? {
        Parsed::Single(head) => Some(head),
        Parsed::Batch(_) => None,
    }
}
