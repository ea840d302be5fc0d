//! Attributes of spans and metrics, by the semantic conventions.

use std::sync::Arc;

use opentelemetry::{KeyValue, StringValue};
use rejoin::{
    ObservedRequest, RequestEnd, SessionId,
    rejoin_core::{IdValue, RequestDetails, SessionCloseReason},
};

use super::ServerNames;
use crate::observers::labels;

/// The types of errors that are not among the known ones.
const OTHER_ERROR: &str = "_OTHER";

/// Returns the attributes that everything of a server has.
pub(super) fn common(server: &Arc<str>) -> Vec<KeyValue> {
    vec![
        KeyValue::new("rejoin.server", Arc::clone(server)),
        KeyValue::new("network.transport", "tcp"),
        KeyValue::new("network.protocol.name", "http"),
    ]
}

/// Returns the attributes that the span of a request has from its beginning.
pub(super) fn begun(
    server: &Arc<str>,
    session: SessionId,
    request: &ObservedRequest,
) -> Vec<KeyValue> {
    let ObservedRequest { id, details, .. } = request;
    let mut attributes = common(server);
    attributes.push(KeyValue::new("mcp.method.name", details.method.clone()));
    // Not the whole id, which is a secret.
    attributes.push(KeyValue::new("mcp.session.id", session.short().to_string()));
    let id = match id.value() {
        IdValue::Integer(integer) => integer.to_string(),
        IdValue::Text(text) => (**text).to_owned(),
    };
    attributes.push(KeyValue::new("jsonrpc.request.id", id));
    if details.method == "tools/call" {
        attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
    }
    if let Some(target) = details.target.as_deref()
        && let Some(key) = target_key(details)
    {
        attributes.push(KeyValue::new(key, target.to_owned()));
    }
    attributes
}

/// Returns the attributes that a span gets at the end of its request.
pub(super) fn ended(end: RequestEnd) -> Vec<KeyValue> {
    errors(end, end.to_string().into())
}

/// Returns the attributes of the metric of a request. The values that clients and servers choose
/// are limited.
pub(super) fn operation(
    server: &Arc<str>,
    names: &ServerNames,
    details: &RequestDetails,
    end: RequestEnd,
) -> Vec<KeyValue> {
    let mut attributes = common(server);
    attributes.push(KeyValue::new("mcp.method.name", labels::method(details)));
    if let Some(name) = target_name(names, details, end) {
        if details.method == "tools/call" {
            attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
            attributes.push(KeyValue::new("gen_ai.tool.name", name));
        } else {
            attributes.push(KeyValue::new("gen_ai.prompt.name", name));
        }
    }
    let error = labels::error_type(end);
    let error = if error == labels::OTHER { OTHER_ERROR.into() } else { error };
    attributes.extend(errors(end, error.into()));
    attributes
}

/// Returns the attributes of the metric of a session.
pub(super) fn session(server: &Arc<str>, reason: SessionCloseReason) -> Vec<KeyValue> {
    let mut attributes = common(server);
    match reason {
        SessionCloseReason::Deleted
        | SessionCloseReason::ServerShutdown
        | SessionCloseReason::Cancelled
        | SessionCloseReason::Idle
        | SessionCloseReason::Moved => {}
        SessionCloseReason::InternalError
        | SessionCloseReason::ExpectedInitialize
        | SessionCloseReason::InitializeRejected
        | SessionCloseReason::InitializeTimeout
        | SessionCloseReason::InitializeUnacknowledged
        | SessionCloseReason::BackendGone
        | SessionCloseReason::Exhausted => {
            attributes.push(KeyValue::new("error.type", labels::close_reason(reason)));
        }
    }
    attributes
}

/// Returns the name of the span of a request that has not ended: tools and prompts are not known
/// to exist.
pub(super) fn span_name(details: &RequestDetails) -> &'static str {
    labels::method(details)
}

/// Returns the name of the span of a request that has ended, if it has a known tool or prompt.
pub(super) fn span_name_with_target(
    names: &ServerNames,
    details: &RequestDetails,
    end: RequestEnd,
) -> Option<String> {
    let name = target_name(names, details, end).filter(|name| &**name != labels::OTHER)?;
    Some(format!("{} {name}", details.method))
}

/// Returns the label of the tool or the prompt of a request.
fn target_name(names: &ServerNames, details: &RequestDetails, end: RequestEnd) -> Option<Arc<str>> {
    let names = match &*details.method {
        "tools/call" => &names.tools,
        "prompts/get" => &names.prompts,
        _ => return None,
    };
    let target = details.target.as_deref()?;
    Some(names.label(Some(target), end == RequestEnd::Result))
}

/// Returns the key of what the target of a request is.
fn target_key(details: &RequestDetails) -> Option<&'static str> {
    match &*details.method {
        "tools/call" => Some("gen_ai.tool.name"),
        "prompts/get" => Some("gen_ai.prompt.name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            Some("mcp.resource.uri")
        }
        _ => None,
    }
}

/// Returns the attributes for the type of an error, if it is one.
fn errors(end: RequestEnd, error_type: StringValue) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    if end != RequestEnd::Result {
        if let RequestEnd::Error { code: Some(_) } = end {
            attributes.push(KeyValue::new("rpc.response.status_code", error_type.clone()));
        }
        attributes.push(KeyValue::new("error.type", error_type));
    }
    attributes
}
