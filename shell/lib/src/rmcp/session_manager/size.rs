//! The memory that a message of a service takes.

use std::io;

use rmcp::model::{
    CallToolResult, ContentBlock, JsonRpcMessage, ServerJsonRpcMessage, ServerResult,
};
use serde::Serialize;

/// What a message takes beyond its contents, in bytes: an estimate.
const MESSAGE_BYTES: usize = 256;

/// What a content block takes beyond its text, in bytes: an estimate.
const BLOCK_BYTES: usize = 256;

/// What a value takes beyond its text, in bytes: an estimate for a [`serde_json::Value`] in an
/// array or object, with its key.
const VALUE_BYTES: usize = 96;

/// Returns an estimate of the memory that a message takes, in bytes. It is not serialized if it is
/// the result of a tool that consists of texts, as most messages are.
pub(super) fn estimate(message: &ServerJsonRpcMessage) -> usize {
    let texts = if let JsonRpcMessage::Response(response) = message
        && let ServerResult::CallToolResult(result) = &response.result
    {
        texts(result)
    } else {
        None
    };
    texts.unwrap_or_else(|| serialized(message)).saturating_add(MESSAGE_BYTES)
}

/// Returns the memory of a result that consists of texts.
fn texts(result: &CallToolResult) -> Option<usize> {
    if result.structured_content.is_some() || result.meta.is_some() {
        return None;
    }
    let text = |block: &ContentBlock| match block {
        ContentBlock::Text(text) if text.meta.is_none() && text.annotations.is_none() => {
            Some(text.text.capacity())
        }
        ContentBlock::Text(_)
        | ContentBlock::Image(_)
        | ContentBlock::Audio(_)
        | ContentBlock::Resource(_)
        | ContentBlock::ResourceLink(_)
        | _ => None,
    };
    result.content.iter().map(|block| Some(text(block)? + BLOCK_BYTES)).sum()
}

/// Returns the memory of a message by its JSON: its length, and the number of its values.
fn serialized(message: &impl Serialize) -> usize {
    let mut counter = Counter::default();
    // What cannot be serialized is not sent.
    let _ = serde_json::to_writer(&mut counter, message);
    counter.bytes.saturating_add(counter.values.saturating_mul(VALUE_BYTES))
}

/// Counts the bytes and the values of JSON that is written to it.
#[derive(Default)]
struct Counter {
    bytes: usize,
    values: usize,
    is_in_string: bool,
    is_escaped: bool,
}

impl Counter {
    fn count(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.is_in_string = !self.is_in_string,
            b',' | b'[' | b'{' if !self.is_in_string => self.values += 1,
            _ => {}
        }
    }
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        for byte in bytes {
            self.count(*byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::NumberOrString;
    use serde_json::{Value, json};

    use super::*;

    fn of(result: CallToolResult) -> usize {
        estimate(&ServerJsonRpcMessage::response(result.into(), NumberOrString::Number(1)))
    }

    /// Returns what a value allocates, without what the allocator adds.
    fn allocated(value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.capacity(),
            Value::Array(values) => {
                values.iter().map(|value| size_of::<Value>() + allocated(value)).sum()
            }
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| {
                    size_of::<(String, Value)>() + name.capacity() + allocated(value)
                })
                .sum(),
        }
    }

    #[test]
    fn texts_count_with_their_capacity() {
        let mut text = String::with_capacity(100_000);
        text.push('a');
        let estimate = of(CallToolResult::success(vec![ContentBlock::text(text)]));
        assert_eq!(estimate, 100_000 + BLOCK_BYTES + MESSAGE_BYTES);
    }

    #[test]
    fn values_count_with_the_memory_that_they_take() {
        for value in [
            json!(vec![0; 10_000]),
            json!(vec![json!({ "a": null }); 1_000]),
            json!({ "a": "b".repeat(10_000), "c,d[{\"\\": [[], {}, [[]]] }),
            json!("[{,".repeat(10_000)),
        ] {
            let allocated = allocated(&value);
            let estimate = of(CallToolResult::structured(value.clone()));
            let range = allocated..allocated * 8 + 3_000;
            assert!(range.contains(&estimate), "{estimate} for {allocated}");
        }
    }
}
