//! The size of a message of a service.

use std::io;

use rmcp::model::{
    CallToolResult, ContentBlock, JsonRpcMessage, ServerJsonRpcMessage, ServerResult,
};
use serde::Serialize;

/// What a message takes beyond its texts, in bytes: an estimate.
const OVERHEAD_BYTES: usize = 256;

/// Returns the size of a message in bytes, about as large as its JSON. It is not serialized if it
/// is the result of a tool that consists of texts, as most messages are.
pub(super) fn estimate(message: &ServerJsonRpcMessage) -> usize {
    let texts = match message {
        JsonRpcMessage::Response(response) => match &response.result {
            ServerResult::CallToolResult(result) => texts(result),
            _ => None,
        },
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) | JsonRpcMessage::Error(_) => {
            None
        }
    };
    texts.unwrap_or_else(|| serialized(message)).saturating_add(OVERHEAD_BYTES)
}

/// Returns the size of the texts of a result, if it has nothing else.
fn texts(result: &CallToolResult) -> Option<usize> {
    if result.structured_content.is_some() || result.meta.is_some() {
        return None;
    }
    let text = |block: &ContentBlock| match block {
        ContentBlock::Text(text) if text.meta.is_none() => Some(text.text.len()),
        ContentBlock::Text(_)
        | ContentBlock::Image(_)
        | ContentBlock::Audio(_)
        | ContentBlock::Resource(_)
        | ContentBlock::ResourceLink(_)
        | _ => None,
    };
    result.content.iter().map(|block| Some(text(block)? + OVERHEAD_BYTES)).sum()
}

/// Returns the size of the JSON.
fn serialized(message: &impl Serialize) -> usize {
    let mut counter = Counter(0);
    // What cannot be serialized is not sent.
    let _ = serde_json::to_writer(&mut counter, message);
    counter.0
}

/// Counts bytes.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
