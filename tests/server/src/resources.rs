//! The resources.

use rmcp::{
    ErrorData,
    model::{Resource, ResourceContents, ResourceTemplate},
};
use serde_json::json;

use super::{
    samples::{PNG, PNG_TYPE},
    state::State,
    watch::WATCHED,
};

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
pub(super) const TEMPLATE: &str = "test://template/{id}/data";

const PLAIN: &str = "text/plain";
const JSON: &str = "application/json";

pub(super) fn list() -> Vec<Resource> {
    let resource = |uri: &str, name: &str, about: &str, mime_type: &str| {
        Resource::new(uri, name).with_description(about).with_mime_type(mime_type)
    };
    vec![
        resource(TEXT, "static-text", "A constant text", PLAIN),
        resource(BINARY, "static-binary", "An image of one red pixel", PNG_TYPE),
        resource(
            WATCHED,
            "watched",
            "A text that changes every second while there is a subscription",
            PLAIN,
        ),
    ]
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    let template = ResourceTemplate::new(TEMPLATE, "template");
    vec![template.with_description("Data for an id").with_mime_type(JSON)]
}

pub(super) fn read(uri: &str, state: &State) -> Result<ResourceContents, ErrorData> {
    let (contents, mime_type) = match uri {
        TEXT => {
            let text = "This is the content of the static text resource.";
            (ResourceContents::text(text, uri), PLAIN)
        }
        BINARY => (ResourceContents::blob(PNG, uri), PNG_TYPE),
        WATCHED => {
            let text = format!("It has changed {} times.", state.watch.changes());
            (ResourceContents::text(text, uri), PLAIN)
        }
        _ => {
            let id = template_id(uri).ok_or_else(|| not_found(uri))?;
            let data = format!("Data for ID: {id}");
            let text = json!({ "id": id, "templateTest": true, "data": data }).to_string();
            (ResourceContents::text(text, uri), JSON)
        }
    };
    Ok(contents.with_mime_type(mime_type))
}

pub(super) fn not_found(uri: &str) -> ErrorData {
    ErrorData::resource_not_found(format!("unknown resource `{uri}`"), Some(json!({ "uri": uri })))
}

fn template_id(uri: &str) -> Option<&str> {
    let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}
