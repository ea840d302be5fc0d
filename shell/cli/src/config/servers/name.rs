//! Names of servers.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The name of a server in a file, which is a segment of its path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerName(Arc<str>);

/// Maximum length of a name.
const LENGTH_MAX: usize = 64;

impl ServerName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        // A client removes `.` and `..` from a path.
        let is_valid = (1..=LENGTH_MAX).contains(&text.len())
            && text.bytes().all(is_allowed)
            && !matches!(text, "." | "..");
        if is_valid {
            return Ok(Self(text.into()));
        }
        let start: String = text.chars().take(LENGTH_MAX).collect();
        Err(format!(
            "{start:?} is not a name of a server: it must be 1 to {LENGTH_MAX} of the characters \
             A-Z a-z 0-9 . _ - and neither `.` nor `..`"
        ))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_segments_of_a_path() {
        let longest = "a".repeat(LENGTH_MAX);
        for valid in ["git", "Git_2.0-beta", "...", &longest] {
            assert_eq!(valid.parse::<ServerName>().unwrap().as_str(), valid);
        }
        let too_long = "a".repeat(LENGTH_MAX + 1);
        for invalid in ["", ".", "..", "a b", "a/b", "%41", "é", "a\n", &too_long] {
            assert!(invalid.parse::<ServerName>().unwrap_err().contains("name of a server"));
        }
    }
}
