//! Tools that return each type of content, and one that fails.

use rmcp::model::{ContentBlock, ResourceContents};

use crate::{
    samples::{PNG, PNG_TYPE, WAV, WAV_TYPE},
    tool::{Input, Tool, ToolError, ready, text},
};

pub(super) const SIMPLE: Tool = Tool {
    name: "test_simple_text",
    about: "Returns a text",
    input: Input::Arguments(&[]),
    run: |_| ready(Ok(text("This is a simple text response for testing."))),
};

pub(super) const IMAGE: Tool = Tool {
    name: "test_image_content",
    about: "Returns an image",
    input: Input::Arguments(&[]),
    run: |_| ready(Ok(vec![image()])),
};

pub(super) const AUDIO: Tool = Tool {
    name: "test_audio_content",
    about: "Returns audio",
    input: Input::Arguments(&[]),
    run: |_| ready(Ok(vec![ContentBlock::audio(WAV, WAV_TYPE)])),
};

pub(super) const RESOURCE: Tool = Tool {
    name: "test_embedded_resource",
    about: "Returns an embedded resource",
    input: Input::Arguments(&[]),
    run: |_| {
        let text = "This is an embedded resource content.";
        ready(Ok(vec![resource("test://embedded-resource", "text/plain", text)]))
    },
};

pub(super) const MIXED: Tool = Tool {
    name: "test_multiple_content_types",
    about: "Returns a text, an image and a resource",
    input: Input::Arguments(&[]),
    run: |_| {
        let json = r#"{"test":"data","value":123}"#;
        ready(Ok(vec![
            ContentBlock::text("Multiple content types test:"),
            image(),
            resource("test://mixed-content-resource", "application/json", json),
        ]))
    },
};

pub(super) const ERROR: Tool = Tool {
    name: "test_error_handling",
    about: "Returns an error",
    input: Input::Arguments(&[]),
    run: |_| ready(Err(ToolError::Intentional)),
};

fn image() -> ContentBlock {
    ContentBlock::image(PNG, PNG_TYPE)
}

fn resource(uri: &str, mime_type: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(mime_type))
}
