//! The prompts.

use rmcp::{
    ErrorData,
    model::{
        ContentBlock, JsonObject, Prompt, PromptArgument, PromptMessage, ResourceContents, Role,
    },
};

use super::samples::{PNG, PNG_TYPE};

const SIMPLE: &str = "test_simple_prompt";
pub(super) const WITH_ARGUMENTS: &str = "test_prompt_with_arguments";
const WITH_RESOURCE: &str = "test_prompt_with_embedded_resource";
const WITH_IMAGE: &str = "test_prompt_with_image";

pub(super) const FIRST: &str = "arg1";
pub(super) const SECOND: &str = "arg2";
const RESOURCE_URI: &str = "resourceUri";

pub(super) fn list() -> Vec<Prompt> {
    let argument = |name: &str, about: &str| {
        PromptArgument::new(name).with_description(about).with_required(true)
    };
    let two =
        vec![argument(FIRST, "First test argument"), argument(SECOND, "Second test argument")];
    let uri = vec![argument(RESOURCE_URI, "URI of the resource to embed")];
    vec![
        Prompt::new(SIMPLE, Some("A prompt with one text message"), None),
        Prompt::new(WITH_ARGUMENTS, Some("A prompt that repeats its arguments"), Some(two)),
        Prompt::new(WITH_RESOURCE, Some("A prompt with a resource in it"), Some(uri)),
        Prompt::new(WITH_IMAGE, Some("A prompt with an image in it"), None),
    ]
}

pub(super) fn get(name: &str, arguments: &JsonObject) -> Result<Vec<PromptMessage>, ErrorData> {
    match name {
        SIMPLE => Ok(vec![text("This is a simple prompt for testing.")]),
        WITH_ARGUMENTS => {
            let (first, second) = (argument(arguments, FIRST)?, argument(arguments, SECOND)?);
            let message = format!("Prompt with arguments: arg1='{first}', arg2='{second}'");
            Ok(vec![text(message)])
        }
        WITH_RESOURCE => {
            let uri = argument(arguments, RESOURCE_URI)?;
            let resource = ResourceContents::text("Embedded resource content for testing.", uri)
                .with_mime_type("text/plain");
            let resource = PromptMessage::new(Role::User, ContentBlock::resource(resource));
            Ok(vec![resource, text("Please process the embedded resource above.")])
        }
        WITH_IMAGE => {
            let image = PromptMessage::new(Role::User, ContentBlock::image(PNG, PNG_TYPE));
            Ok(vec![image, text("Please analyze the image above.")])
        }
        _ => Err(not_found(name)),
    }
}

pub(super) fn not_found(name: &str) -> ErrorData {
    ErrorData::invalid_params(format!("unknown prompt `{name}`"), None)
}

fn argument<'a>(arguments: &'a JsonObject, name: &str) -> Result<&'a str, ErrorData> {
    let text = arguments.get(name).and_then(serde_json::Value::as_str);
    text.ok_or_else(|| {
        ErrorData::invalid_params(format!("the argument `{name}` must be a string"), None)
    })
}

fn text(text: impl Into<String>) -> PromptMessage {
    PromptMessage::new_text(Role::User, text)
}
