//! The end of a stream: no request is left without a response.

/// Checks that a complete stream that was read to its end leaves no request without a response.
pub(in crate::simulation) fn check_stream_end(
    is_complete: bool,
    unsettled: usize,
) -> Result<(), String> {
    if is_complete && unsettled > 0 {
        return Err(format!("a stream is complete, but {unsettled} requests have no response"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_complete_stream_without_response() {
        assert!(check_stream_end(true, 0).is_ok() && check_stream_end(false, 1).is_ok());
        assert!(check_stream_end(true, 1).is_err());
    }
}
