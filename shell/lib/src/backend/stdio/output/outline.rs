//! Outlines of messages that are not valid JSON, or too long to be buffered.

use rejoin_core::RequestId;

/// Which members an object has that identify a JSON-RPC message.
#[derive(Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is the presence of a member")]
pub(super) struct Outline {
    pub(super) id: Id,
    pub(super) has_jsonrpc: bool,
    pub(super) has_method: bool,
    pub(super) has_result: bool,
    pub(super) has_error: bool,
    /// Whether it has members that JSON-RPC does not define.
    pub(super) has_others: bool,
    /// Whether the object is closed.
    pub(super) is_complete: bool,
    /// Whether other text precedes it in the line, as in a log line.
    pub(super) is_prefixed: bool,
}

/// The id of an object.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Id {
    #[default]
    Absent,
    Known(RequestId),
    /// Null, or not a valid id.
    Invalid,
    /// Duplicate members with different values.
    Ambiguous,
}

impl Outline {
    /// Returns whether the object is meant as a response.
    pub(super) fn is_response(&self) -> bool {
        // A server that omits null members may omit the result.
        let lacks_result = self.is_complete && self.has_jsonrpc && !self.has_method;
        self.is_json_rpc() && (self.has_result || self.has_error || lacks_result)
    }

    /// Returns whether the object is meant as a request.
    pub(super) fn is_request(&self) -> bool {
        self.is_json_rpc() && self.has_method && !self.has_result && !self.has_error
    }

    /// Returns whether this is JSON-RPC rather than a structured log line, which may have an id
    /// and an error, too.
    fn is_json_rpc(&self) -> bool {
        self.has_jsonrpc || !self.has_others
    }

    /// Returns whether the kind and the id of the object are known.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.id, Id::Known(_)) && (self.is_request() || self.is_response())
    }
}
