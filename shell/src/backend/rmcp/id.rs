//! Ids of requests, from rmcp's and to them.

use std::sync::Arc;

use rejoin_core::{IdValue, RequestId};
use rmcp::model::NumberOrString;

/// `None` where the id is longer than those of any client.
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
