//! Escaped output of a child, for the log.

use std::fmt;

/// Displays bytes as one line of text. Escapes all characters that are not printable, such as
/// control characters and changes of the text direction. Quotes and backslashes stay as they are.
pub(crate) struct Printable<'a>(pub(super) &'a [u8]);

/// Printable characters that `escape_debug` escapes.
const QUOTED: [char; 3] = ['"', '\'', '\\'];

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0);
        for part in text.split_inclusive(QUOTED) {
            let plain = part.trim_end_matches(QUOTED);
            let quoted = part.strip_prefix(plain).unwrap_or_default();
            write!(f, "{}{quoted}", plain.escape_debug())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_not_printable_are_escaped() {
        let text = Printable(b"\x1b[31mr\xc3\xb6t\x07\t\xff").to_string();
        assert_eq!(text, "\\u{1b}[31mröt\\u{7}\\t\u{fffd}");
        let text = Printable("a\u{202e}b e\u{301}".as_bytes()).to_string();
        assert_eq!(text, "a\\u{202e}b e\u{301}");
        let json = r#"{"a":"\\'\""}"#;
        assert_eq!(Printable(json.as_bytes()).to_string(), json);
    }
}
