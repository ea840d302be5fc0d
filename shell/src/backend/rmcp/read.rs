//! Messages of the client, from bytes to rmcp's types.

use rejoin_core::{Head, Peeked};
use rmcp::model::{
    CallToolRequestMethod, ClientJsonRpcMessage, ClientRequest, CompleteRequestMethod, ConstString,
    GetPromptRequestMethod, InitializeResultMethod, JsonRpcMessage, ListPromptsRequestMethod,
    ListResourceTemplatesRequestMethod, ListResourcesRequestMethod, ListToolsRequestMethod,
    ReadResourceRequestMethod, SetLevelRequestMethod, SubscribeRequestMethod,
    UnsubscribeRequestMethod,
};
use thiserror::Error;

/// The requests whose parameters rmcp reads. It takes one that it cannot read for one
/// that it does not know.
const KNOWN: [&str; 12] = [
    CallToolRequestMethod::VALUE,
    CompleteRequestMethod::VALUE,
    GetPromptRequestMethod::VALUE,
    InitializeResultMethod::VALUE,
    ListPromptsRequestMethod::VALUE,
    ListResourceTemplatesRequestMethod::VALUE,
    ListResourcesRequestMethod::VALUE,
    ListToolsRequestMethod::VALUE,
    ReadResourceRequestMethod::VALUE,
    SetLevelRequestMethod::VALUE,
    SubscribeRequestMethod::VALUE,
    UnsubscribeRequestMethod::VALUE,
];

/// Why rmcp cannot read a message. The client is at fault.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    /// It is no message as rmcp knows them.
    #[error("the message cannot be read: {0}")]
    Message(#[from] serde_json::Error),
    /// The parameters of a request are not what its method takes.
    #[error("the parameters are not what `{0}` takes")]
    Params(&'static str),
}

pub(super) fn read(bytes: &[u8]) -> Result<ClientJsonRpcMessage, Unreadable> {
    let message = serde_json::from_slice(bytes)?;
    if let JsonRpcMessage::Request(request) = &message
        && let ClientRequest::CustomRequest(custom) = &request.request
        && let Some(method) = KNOWN.iter().find(|known| **known == custom.method)
    {
        return Err(Unreadable::Params(method));
    }
    Ok(message)
}

impl Unreadable {
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
    match rejoin_core::peek(bytes, 0).ok()? {
        Peeked::Single(head) => Some(head),
        Peeked::Batch(_) => None,
    }
}
