//! Trace contexts that clients send.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};

/// Parses a `traceparent` and its `tracestate`. Returns `None` if the former is malformed; a
/// malformed `tracestate` is ignored.
///
/// Specification: W3C Trace Context, "Traceparent Header Field Values".
pub(super) fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut fields = traceparent.split('-');
    let mut field = |digits| fields.next().filter(|field| is_hex(field, digits));
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    // Later versions may have more fields.
    if version == "ff" || (version == "00" && fields.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let state = tracestate.and_then(|text| text.parse().ok()).unwrap_or_default();
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, state)).filter(SpanContext::is_valid)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn fields_are_those_of_the_text() {
        let context = parse(VALID, Some("a=1,b=2")).unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().get("b"), Some("2"));
        assert_eq!(parse(VALID, Some("a")).unwrap().trace_state().header(), "");
        let unsampled = VALID.replace("-01", "-02");
        assert!(!parse(&unsampled, None).unwrap().is_sampled());
        let later = VALID.replacen("00", "01", 1) + "-more";
        assert!(parse(&later, None).is_some());
    }

    #[test]
    fn malformed_texts_are_no_context() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-+af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-1-1-01",
            "ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(text, None), None, "{text}");
        }
    }
}
