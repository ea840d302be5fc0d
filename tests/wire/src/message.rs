//! JSON-RPC messages, and the stamps that identify their origin.

use rejoin_core::{FailureReason, Head, Parsed, RequestId};
use serde_json::{Value, json};

/// The origin of a backend's message: the client's name, and the number of messages sent
/// before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) session: String,
    pub(crate) serial: u64,
}

impl Stamp {
    pub(crate) fn value(&self) -> Value {
        json!({ "owner": self.session, "serial": self.serial })
    }

    /// Returns the stamp of a message.
    pub(crate) fn of(message: &Value) -> Option<Self> {
        let pointers =
            ["/result/stamp", "/params/stamp", "/params/data/stamp", "/error/data/stamp"];
        let stamp = pointers.iter().find_map(|pointer| message.pointer(pointer))?;
        let session = stamp.get("owner")?.as_str()?.to_owned();
        Some(Self { session, serial: stamp.get("serial")?.as_u64()? })
    }
}

/// Returns an id as JSON.
pub(crate) fn id_value(id: &RequestId) -> Value {
    match id.value() {
        rejoin_core::IdValue::Integer(integer) => Value::from(*integer),
        rejoin_core::IdValue::Text(text) => Value::from(&**text),
    }
}

/// Parses the head of one message.
pub(crate) fn head_of(text: &[u8]) -> Result<Head, String> {
    match rejoin_core::parse_head(text, 0) {
        Ok(Parsed::Single(head)) => Ok(head),
        Ok(Parsed::Batch(_)) => Err("unexpected batch".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the reason if a message is a failure in place of a response.
pub(crate) fn failure_of(message: &Value) -> Option<FailureReason> {
    if message.pointer("/error/code")?.as_i64() != Some(-32_603) {
        return None;
    }
    // Matched by prefix: details follow.
    let reasons = [
        ("the response was too large to be retained", FailureReason::Evicted),
        ("the response was retained, but has expired", FailureReason::Expired),
        ("the request was cancelled: its client was disconnected", FailureReason::Orphaned),
        ("the server is no longer available", FailureReason::BackendGone),
        ("the session was closed", FailureReason::SessionClosed),
        ("the server did not answer `initialize` in time", FailureReason::SessionClosed),
    ];
    let text = message.pointer("/error/message")?.as_str()?;
    let reason = reasons.into_iter().find(|(beginning, _)| text.starts_with(beginning));
    reason.map(|(_, reason)| reason)
}

/// Returns the stream and range of a gap that a log notification of the shell reports.
pub(crate) fn gap_of(message: &Value) -> Option<(&str, u64, u64)> {
    let params = message.get("params").filter(|it| it.get("logger") == Some(&json!("rejoin")))?;
    let data = params.get("data")?;
    Some((data.get("stream")?.as_str()?, data.get("first")?.as_u64()?, data.get("last")?.as_u64()?))
}

/// Returns `bytes` bytes of padding.
pub(crate) fn padding(bytes: usize) -> String {
    "x".repeat(bytes)
}
