//! Requests to the client during a tool call: elicitation and sampling.
#![expect(deprecated, reason = "sampling is deprecated in later revisions")]

use rmcp::{
    ServiceError,
    model::{
        ClientResult, CreateMessageRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult,
        SamplingMessage, ServerRequest,
    },
};
use serde_json::Value;

use super::tool::{Call, ToolError};

/// Elicits input of the form `schema` from the user.
pub(super) async fn elicit(
    call: &Call,
    message: &str,
    schema: Value,
) -> Result<ElicitResult, ToolError> {
    let capabilities = call.context.client_capabilities().unwrap_or_default();
    if capabilities.elicitation.is_none() {
        return Err(ToolError::Undeclared("elicitation"));
    }
    let params = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema: serde_json::from_value(schema)?,
    };
    let request = ServerRequest::ElicitRequest(ElicitRequest::new(params));
    let response = call.unless_cancelled(call.context.peer.send_request(request)).await?;
    let ClientResult::ElicitResult(result) = response else {
        return Err(ServiceError::UnexpectedResponse.into());
    };
    Ok(result)
}

/// Samples a completion of `prompt` from the client's model. Returns its text.
pub(super) async fn sample(call: &Call, prompt: &str) -> Result<String, ToolError> {
    let capabilities = call.context.client_capabilities().unwrap_or_default();
    if capabilities.sampling.is_none() {
        return Err(ToolError::Undeclared("sampling"));
    }
    let params = CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], 100);
    let result = call.unless_cancelled(call.context.peer.create_message(params)).await?;
    let texts = result.message.content.into_vec();
    let texts = texts.iter().filter_map(|content| content.as_text());
    Ok(texts.map(|content| content.text.as_str()).collect())
}
