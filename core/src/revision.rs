//! MCP revisions as data: what each protocol version means for a session.

use core::{fmt, str};

/// An MCP protocol version: a date, `YYYY-MM-DD`.
///
/// Specification: MCP 2025-11-25, Lifecycle, "Version Negotiation".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion([u8; 10]);

impl ProtocolVersion {
    /// Parses a version. Returns `None` if the text does not have the form of a date.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let bytes: [u8; 10] = text.as_bytes().try_into().ok()?;
        let is_date = bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        is_date.then_some(Self(bytes))
    }

    /// Returns the text of the version.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    const fn known(text: &[u8; 10]) -> Self {
        Self(*text)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ProtocolVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for ProtocolVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <alloc::string::String as serde::Deserialize>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| {
            serde::de::Error::custom("invalid protocol version: expected YYYY-MM-DD")
        })
    }
}

/// What a revision means for a session.
///
/// A revision that behaves differently gets a row in [`PROFILES`], with new fields if needed.
/// No code compares a version by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The revision.
    pub version: ProtocolVersion,
    /// Whether a POST may be a batch: a JSON array of messages.
    pub batches: bool,
    /// Whether connections begin with a priming event: an id with empty data.
    ///
    /// Strict clients of older revisions fail on one.
    pub priming: bool,
}

const OLDEST: Profile =
    Profile { version: ProtocolVersion::known(b"2025-03-26"), batches: true, priming: false };

/// All supported revisions, oldest first.
pub const PROFILES: &[Profile] = &[
    OLDEST,
    Profile { version: ProtocolVersion::known(b"2025-06-18"), batches: false, priming: false },
    Profile { version: ProtocolVersion::known(b"2025-11-25"), batches: false, priming: true },
];

impl Profile {
    /// Returns the profile for a session in which `version` was negotiated.
    ///
    /// This is the newest profile up to `version`. For an older version, or none, it is the
    /// oldest profile, which a server must assume for a client that does not name a version.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Protocol Version Header".
    #[must_use]
    pub fn governing(version: Option<ProtocolVersion>) -> &'static Self {
        PROFILES.iter().rev().find(|profile| Some(profile.version) <= version).unwrap_or(&OLDEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn governing(text: &str) -> &'static str {
        Profile::governing(ProtocolVersion::new(text)).version.as_str()
    }

    #[test]
    fn newest_revision_up_to_the_version_governs() {
        assert_eq!(governing("2024-11-05"), "2025-03-26");
        assert_eq!(governing("2025-03-26"), "2025-03-26");
        assert_eq!(governing("2025-06-18"), "2025-06-18");
        assert_eq!(governing("2025-11-24"), "2025-06-18");
        assert_eq!(governing("2025-11-25"), "2025-11-25");
        assert_eq!(governing("2030-01-01"), "2025-11-25");
        assert_eq!(governing("latest"), "2025-03-26");
    }

    #[test]
    fn profiles_are_sorted_and_versions_are_dates() {
        assert!(PROFILES.is_sorted_by_key(|profile| profile.version));
        for profile in PROFILES {
            assert_eq!(ProtocolVersion::new(profile.version.as_str()), Some(profile.version));
        }
    }

    #[test]
    fn only_dates_are_versions() {
        for text in ["", "2025-6-18", "2025/06/18", "2025-06-18x", "x025-06-18"] {
            assert_eq!(ProtocolVersion::new(text), None, "{text:?}");
        }
    }
}
