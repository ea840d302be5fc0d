//! The names of the members that are read.

use core::fmt;

use serde_core::de::{Deserialize, Deserializer, Visitor};

/// The member name by which `serde_json` represents a number as an object, if any crate of
/// the build enables its feature `arbitrary_precision`.
pub(super) const NUMBER_KEY: &str = "$serde_json::private::Number";

/// The name of a member that is read at some level.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberName {
    Jsonrpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    Meta,
    ProgressToken,
    RequestId,
    ProtocolVersion,
    Capabilities,
    Logging,
    Tools,
    Resources,
    Prompts,
    ListChanged,
    Task,
    Name,
    Uri,
    Traceparent,
    Tracestate,
    Number,
    Other,
}

impl<'a> Deserialize<'a> for MemberName {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = MemberName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_str<E>(self, name: &str) -> Result<MemberName, E> {
                Ok(match name {
                    "jsonrpc" => MemberName::Jsonrpc,
                    "id" => MemberName::Id,
                    "method" => MemberName::Method,
                    "params" => MemberName::Params,
                    "result" => MemberName::Result,
                    "error" => MemberName::Error,
                    "_meta" => MemberName::Meta,
                    "progressToken" => MemberName::ProgressToken,
                    "requestId" => MemberName::RequestId,
                    "protocolVersion" => MemberName::ProtocolVersion,
                    "capabilities" => MemberName::Capabilities,
                    "logging" => MemberName::Logging,
                    "tools" => MemberName::Tools,
                    "resources" => MemberName::Resources,
                    "prompts" => MemberName::Prompts,
                    "listChanged" => MemberName::ListChanged,
                    "task" => MemberName::Task,
                    "name" => MemberName::Name,
                    "uri" => MemberName::Uri,
                    "traceparent" => MemberName::Traceparent,
                    "tracestate" => MemberName::Tracestate,
                    NUMBER_KEY => MemberName::Number,
                    _ => MemberName::Other,
                })
            }
        }

        json.deserialize_identifier(NameVisitor)
    }
}
