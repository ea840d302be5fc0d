//! The ids of requests.

use rejoin_core::RequestId;

/// Returns the id of the request with a serial number: integers and strings in turn.
#[must_use]
pub fn request_id(serial: u64) -> RequestId {
    let number = i64::try_from(serial).unwrap_or(i64::MAX);
    if serial.is_multiple_of(2) {
        return number.into();
    }
    RequestId::try_from(number.to_string().as_str()).unwrap_or(number.into())
}
