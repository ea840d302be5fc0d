//! Methods whose parameters rmcp has types for, in the revisions that have sessions.
#![expect(deprecated, reason = "these revisions have methods that later ones deprecate")]

use rmcp::model::{
    CallToolRequestMethod, CallToolRequestParams, ClientRequest, CompleteRequestMethod,
    CompleteRequestParams, ConstString, GetPromptRequestMethod, GetPromptRequestParams,
    InitializeRequestParams, InitializeResultMethod, ListPromptsRequest, ListPromptsRequestMethod,
    ListResourceTemplatesRequest, ListResourceTemplatesRequestMethod, ListResourcesRequest,
    ListResourcesRequestMethod, ListToolsRequest, ListToolsRequestMethod, PingRequest,
    PingRequestMethod, ReadResourceRequestMethod, ReadResourceRequestParams, Request,
    RequestParamsMeta, SetLevelRequestMethod, SetLevelRequestParams, SubscribeRequestMethod,
    SubscribeRequestParams, UnsubscribeRequestMethod, UnsubscribeRequestParams,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A request whose parameters are not parsed yet.
pub(super) struct RawRequest<'a> {
    pub(super) message: &'a [u8],
    pub(super) params: Option<&'a RawValue>,
}

/// Parses the request of one method.
type ParseFn = fn(&RawRequest<'_>) -> serde_json::Result<ClientRequest>;

/// Parser of each method, the most frequent ones first.
pub(super) const METHODS: [(&str, ParseFn); 13] = [
    (CallToolRequestMethod::VALUE, parse_params::<CallToolRequestMethod, CallToolRequestParams>),
    (
        ReadResourceRequestMethod::VALUE,
        parse_params::<ReadResourceRequestMethod, ReadResourceRequestParams>,
    ),
    (GetPromptRequestMethod::VALUE, parse_params::<GetPromptRequestMethod, GetPromptRequestParams>),
    (CompleteRequestMethod::VALUE, parse_params::<CompleteRequestMethod, CompleteRequestParams>),
    (SubscribeRequestMethod::VALUE, parse_params::<SubscribeRequestMethod, SubscribeRequestParams>),
    (
        UnsubscribeRequestMethod::VALUE,
        parse_params::<UnsubscribeRequestMethod, UnsubscribeRequestParams>,
    ),
    (SetLevelRequestMethod::VALUE, parse_params::<SetLevelRequestMethod, SetLevelRequestParams>),
    (
        InitializeResultMethod::VALUE,
        parse_params::<InitializeResultMethod, InitializeRequestParams>,
    ),
    (PingRequestMethod::VALUE, parse_message::<PingRequest>),
    (ListToolsRequestMethod::VALUE, parse_message::<ListToolsRequest>),
    (ListResourcesRequestMethod::VALUE, parse_message::<ListResourcesRequest>),
    (ListResourceTemplatesRequestMethod::VALUE, parse_message::<ListResourceTemplatesRequest>),
    (ListPromptsRequestMethod::VALUE, parse_message::<ListPromptsRequest>),
];

/// Parses a request that has parameters. Moves `_meta` into the extensions, as rmcp does.
fn parse_params<M, P>(request: &RawRequest<'_>) -> serde_json::Result<ClientRequest>
where
    M: Default,
    P: DeserializeOwned + RequestParamsMeta,
    Request<M, P>: Into<ClientRequest>,
{
    // Parameters are named, that is an object.
    let object = request.params.map(RawValue::get).filter(|params| params.starts_with('{'));
    let mut params: P = serde_json::from_str(object.unwrap_or("null"))?;
    let meta = params.meta_mut().take();
    let mut request = Request::new(params);
    if let Some(meta) = meta {
        request.extensions.insert(meta);
    }
    Ok(request.into())
}

/// Parses a request whose parameters are optional.
fn parse_message<R>(request: &RawRequest<'_>) -> serde_json::Result<ClientRequest>
where
    R: DeserializeOwned + Into<ClientRequest>,
{
    serde_json::from_slice::<R>(request.message).map(Into::into)
}

#[cfg(test)]
mod tests {
    use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage};

    use super::super::parse::{MessageError, parse};

    /// Parses a message as rmcp itself does.
    fn parsed_by_rmcp(message: &str) -> ClientJsonRpcMessage {
        serde_json::from_str(message).unwrap()
    }

    fn debug(message: &ClientJsonRpcMessage) -> String {
        let JsonRpcMessage::Request(request) = message else { panic!("{message:?}") };
        // The debug output of extensions does not show their contents.
        let json = serde_json::to_string(&request).unwrap();
        format!("{request:?} {json}")
    }

    #[test]
    fn missing_or_unnamed_parameters_are_an_error() {
        for members in ["", r#","params":null"#, r#","params":[null,"a"]"#] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call"{members}}}"#);
            let error = parse(message.as_bytes()).unwrap_err();
            assert!(matches!(error, MessageError::Params("tools/call")), "{message}");
        }
    }

    #[test]
    fn every_method_is_parsed_as_by_rmcp() {
        let meta = r#""_meta":{"progressToken":5,"a":[null]}"#;
        for (method, members) in [
            ("tools/call", r#""name":"a""#),
            ("tools/call", r#""name":"a","arguments":{"b":{"_meta":1.5}},"else":1"#),
            ("resources/read", r#""uri":"a://b""#),
            ("resources/subscribe", r#""uri":"a://b""#),
            ("resources/unsubscribe", r#""uri":"a://b""#),
            ("prompts/get", r#""name":"a","arguments":{"b":"c"}"#),
            (
                "completion/complete",
                r#""ref":{"type":"ref/prompt","name":"a"},"argument":{"name":"b","value":"c"}"#,
            ),
            ("logging/setLevel", r#""level":"info""#),
            (
                "initialize",
                r#""protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"a","version":"0"}"#,
            ),
            ("ping", r#""else":1"#),
            ("tools/list", r#""cursor":"a""#),
            ("tools/list", r#""cursor":1"#),
            ("resources/list", r#""cursor":"a""#),
            ("resources/templates/list", r#""cursor":"a""#),
            ("prompts/list", r#""cursor":"a""#),
        ] {
            for params in [format!("{{{members}}}"), format!("{{{members},{meta}}}")] {
                let message = format!(
                    r#"{{"params":{params},"jsonrpc":"2.0","method":"{method}","id":"x"}}"#
                );
                let parsed = parse(message.as_bytes()).unwrap();
                assert_eq!(debug(&parsed), debug(&parsed_by_rmcp(&message)), "{message}");
            }
        }
        for method in ["ping", "tools/list", "resources/list", "prompts/list"] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
            let parsed = parse(message.as_bytes()).unwrap();
            assert_eq!(debug(&parsed), debug(&parsed_by_rmcp(&message)), "{message}");
        }
    }
}
