//! Messages, and the stamps by which it is seen whose they are.

use rejoin_core::{FailureReason, Head, Parsed, RequestId};
use serde_json::{Value, json};

/// Whose a message of a backend is: the session's name, and how many it has said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) visit: String,
    pub(crate) serial: u64,
}

impl Stamp {
    pub(crate) fn value(&self) -> Value {
        json!({ "visit": self.visit, "serial": self.serial })
    }

    /// Finds the stamp of a message.
    pub(crate) fn of(message: &Value) -> Option<Self> {
        let places = ["/result/stamp", "/params/stamp", "/params/data/stamp", "/error/data/stamp"];
        let stamp = places.iter().find_map(|place| message.pointer(place))?;
        let visit = stamp.get("visit")?.as_str()?.to_owned();
        Some(Self { visit, serial: stamp.get("serial")?.as_u64()? })
    }
}

/// Returns an id as JSON has it.
pub(crate) fn id_value(id: &RequestId) -> Value {
    match id.value() {
        rejoin_core::IdValue::Integer(integer) => Value::from(*integer),
        rejoin_core::IdValue::Text(text) => Value::from(&**text),
    }
}

/// Reads the head of one message.
pub(crate) fn head_of(text: &[u8]) -> Result<Head, String> {
    match rejoin_core::parse_head(text, 0) {
        Ok(Parsed::Single(head)) => Ok(head),
        Ok(Parsed::Batch(_)) => Err("it is a batch".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns why there is no response, where a message says it in the place of one.
pub(crate) fn failure_of(message: &Value) -> Option<FailureReason> {
    if message.pointer("/error/code")?.as_i64() != Some(-32_603) {
        return None;
    }
    // What follows says more.
    let reasons = [
        ("the response was too large to be retained", FailureReason::Evicted),
        ("the response was retained, but has expired", FailureReason::Expired),
        ("the request was cancelled: its client was disconnected", FailureReason::Orphaned),
        ("the server is no longer available", FailureReason::BackendGone),
        ("the session was closed", FailureReason::SessionClosed),
        ("the server did not answer `initialize` in time", FailureReason::SessionClosed),
    ];
    let said = message.pointer("/error/message")?.as_str()?;
    let reason = reasons.into_iter().find(|(beginning, _)| said.starts_with(beginning));
    reason.map(|(_, reason)| reason)
}

/// Returns which events of which stream a log message of the shell says are missing.
pub(crate) fn gap_of(message: &Value) -> Option<(&str, u64, u64)> {
    let params = message.get("params").filter(|it| it.get("logger") == Some(&json!("rejoin")))?;
    let data = params.get("data")?;
    Some((data.get("stream")?.as_str()?, data.get("first")?.as_u64()?, data.get("last")?.as_u64()?))
}

/// Returns so many bytes to make a message longer.
pub(crate) fn pad(bytes: usize) -> String {
    "x".repeat(bytes)
}
