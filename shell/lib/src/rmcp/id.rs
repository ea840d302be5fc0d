//! Conversion of request ids from and to those of rmcp.

use std::sync::Arc;

use rejoin_core::{IdValue, RequestId};
use rmcp::model::NumberOrString;

/// Returns `None` if the id exceeds the maximum length, so that it cannot be one of a client.
pub(super) fn from_rmcp(id: &NumberOrString) -> Option<RequestId> {
    match id {
        NumberOrString::Number(number) => Some(RequestId::from(*number)),
        NumberOrString::String(text) => RequestId::try_from(&**text).ok(),
    }
}

pub(super) fn to_rmcp(id: &RequestId) -> NumberOrString {
    match id.value() {
        IdValue::Integer(integer) => NumberOrString::Number(*integer),
        IdValue::Text(text) => NumberOrString::String(Arc::clone(text)),
    }
}
