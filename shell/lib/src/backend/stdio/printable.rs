//! Escaped output of a child, for the log.

use std::fmt;

/// Displays bytes as one line of text, with control characters escaped.
pub(super) struct Printable<'a>(pub(super) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for character in String::from_utf8_lossy(self.0).chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let text = Printable(b"\x1b[31mr\xc3\xb6t\x07\t\xff").to_string();
        assert_eq!(text, "\\u{1b}[31mröt\\u{7}\\t\u{fffd}");
    }
}
