//! The nesting depth of JSON: recursive parsers overflow their stack on deep nesting.

use memchr::memchr2_iter;

/// Returns whether objects and arrays are nested deeper than `max` levels. The bytes need
/// not be valid JSON.
pub(crate) fn is_deeper(json: &[u8], max: usize) -> bool {
    // Fast path: most messages have fewer brackets than that.
    memchr2_iter(b'{', b'[', json).nth(max).is_some() && depth(json) > max
}

fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut is_in_string, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_string => is_escaped = true,
            b'"' => is_in_string = !is_in_string,
            b'{' | b'[' if !is_in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_that_are_open_at_once() {
        for (json, deepest) in [
            ("5", 0),
            ("[]", 1),
            (r#"{"a":[{}],"b":[[]]}"#, 3),
            (r#"["[[[[","\"[[[[","\\",[]]"#, 2),
            ("]]]][", 1),
            ("[[[", 3),
        ] {
            assert!(!is_deeper(json.as_bytes(), deepest), "{json}");
            assert!(deepest == 0 || is_deeper(json.as_bytes(), deepest - 1), "{json}");
        }
    }
}
