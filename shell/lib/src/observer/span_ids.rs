//! The ids of a span.

use std::fmt;

/// The ids of a span that an observer has for a request.
///
/// Specification: W3C Trace Context, "Traceparent Header Field Values".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds {
    trace: u128,
    span: u64,
}

impl SpanIds {
    /// Returns the ids of a span.
    #[must_use]
    pub const fn new(trace: u128, span: u64) -> Self {
        Self { trace, span }
    }

    /// Returns the id of the trace, as a log line has it.
    #[must_use]
    pub fn trace_id(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:032x}", self.trace))
    }

    /// Returns the id of the span, as a log line has it.
    #[must_use]
    pub fn span_id(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:016x}", self.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_all_their_digits() {
        let ids = SpanIds::new(0xaf, 0xb7);
        assert_eq!(ids.trace_id().to_string(), format!("{}af", "0".repeat(30)));
        assert_eq!(ids.span_id().to_string(), format!("{}b7", "0".repeat(14)));
    }
}
