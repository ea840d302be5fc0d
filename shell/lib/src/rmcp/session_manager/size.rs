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
    let texts = if let JsonRpcMessage::Response(response) = message
        && let ServerResult::CallToolResult(result) = &response.result
    {
        texts(result)
    } else {
        None
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

#[cfg(test)]
mod tests {
    use rmcp::model::NumberOrString;
    use serde_json::json;

    use super::*;

    fn sizes(result: CallToolResult) -> (usize, usize) {
        let message = ServerJsonRpcMessage::response(result.into(), NumberOrString::Number(1));
        (estimate(&message), serde_json::to_vec(&message).unwrap().len())
    }

    #[test]
    fn estimate_is_at_least_the_size_of_the_json() {
        let text = |length| ContentBlock::text("a".repeat(length));
        let mut with_meta = CallToolResult::success(vec![text(1)]);
        with_meta.meta = serde_json::from_value(json!({ "a": "b".repeat(10_000) })).unwrap();
        let results = [
            CallToolResult::success(vec![]),
            CallToolResult::success(vec![text(3)]),
            CallToolResult::success(vec![text(100_000), text(1)]),
            CallToolResult::success(vec![text(1); 1_000]),
            CallToolResult::success(vec![text(1), ContentBlock::image("a".repeat(10_000), "b")]),
            CallToolResult::structured(json!({ "a": "b".repeat(10_000) })),
            with_meta,
        ];
        for result in results {
            let blocks = result.content.len();
            let (estimate, json) = sizes(result);
            let most = json + (blocks + 1) * OVERHEAD_BYTES;
            assert!((json..=most).contains(&estimate), "{estimate} for {json}");
        }
    }
}
