//! Messages of the client, from bytes to rmcp's types.

use std::borrow::Cow;

use rejoin_core::{Head, Parsed};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, NumberOrString};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::methods::{METHODS, RawRequest};

/// Why rmcp cannot read a message. The client is at fault.
#[derive(Debug, Error)]
pub(super) enum MessageError {
    /// It is no message as rmcp knows them.
    #[error("the message cannot be read: {0}")]
    Message(#[from] serde_json::Error),
    /// The parameters of a request are not what its method takes.
    #[error("the parameters are not what `{0}` takes")]
    Params(&'static str),
}

/// What tells how to read the rest.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<NumberOrString>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// Reads a request that is known as what its method says. rmcp itself would try one type
/// after the other, and take one that it cannot read for one that it does not know.
pub(super) fn parse(message: &[u8]) -> Result<ClientJsonRpcMessage, MessageError> {
    let Envelope { id, method, params } = serde_json::from_slice(message)?;
    let known = METHODS.iter().find(|(known, _)| *known == method);
    let (Some(id), Some((method, read))) = (id, known) else {
        return Ok(serde_json::from_slice(message)?);
    };
    let request =
        read(&RawRequest { message, params }).map_err(|_| MessageError::Params(method))?;
    Ok(JsonRpcMessage::request(request, id))
}

impl MessageError {
    /// Returns the code of the JSON-RPC error that tells the client.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Message(_) => -32_600,
            Self::Params(_) => -32_602,
        }
    }
}

/// Returns the head of a message that a session has accepted.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    match rejoin_core::parse_head(bytes, 0).ok()? {
        Parsed::Single(head) => Some(head),
        Parsed::Batch(_) => None,
    }
}
