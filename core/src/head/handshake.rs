//! The part of the handshake that a client machine must know, and that heads do not have.

use core::str;

use serde_core::de::MapAccess;
use serde_json::Deserializer;

use super::{
    member_name::MemberName,
    value::{NumberOrObject, Seed, StringReader, TrueReader, ValueKind, ValueReader, skip_value},
};

/// Returns whether a notification is `notifications/initialized`. What is not JSON is not.
///
/// ```
/// use rejoin_core::client::is_initialized;
///
/// assert!(is_initialized(br#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#));
/// ```
#[must_use]
pub fn is_initialized(notification: &[u8]) -> bool {
    read(notification).is_some_and(|found| found.is_initialized)
}

/// Returns the lists whose changes a server announces, from its response to `initialize`; none if
/// it is not JSON.
///
/// Specification: MCP 2025-11-25, Lifecycle, "Capability Negotiation".
///
/// ```
/// use rejoin_core::client::announced_lists;
///
/// let lists = announced_lists(br#"{"result": {"capabilities": {"tools": {"listChanged": true}}}}"#);
/// assert!(lists.tools && !lists.prompts);
/// ```
#[must_use]
pub fn announced_lists(response: &[u8]) -> Lists {
    read(response).map(|found| found.lists).unwrap_or_default()
}

/// The lists whose changes a server announces, by its `listChanged` capabilities. Start from the
/// [`Default`], and set fields; [`announced_lists`] parses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lists {
    /// `notifications/tools/list_changed`.
    pub tools: bool,
    /// `notifications/resources/list_changed`.
    pub resources: bool,
    /// `notifications/prompts/list_changed`.
    pub prompts: bool,
}

fn read(bytes: &[u8]) -> Option<Found> {
    let mut found = Found::default();
    let mut json = Deserializer::from_str(str::from_utf8(bytes).ok()?);
    let reader = ObjectReader { found: &mut found, level: Level::Message };
    serde_core::de::DeserializeSeed::deserialize(Seed(reader), &mut json).ok()?;
    json.end().ok()?;
    Some(found)
}

/// What is found.
#[derive(Default)]
struct Found {
    is_initialized: bool,
    lists: Lists,
}

/// An object whose members are read.
#[derive(Clone, Copy)]
enum Level {
    Message,
    Result,
    Capabilities,
    Tools,
    Resources,
    Prompts,
}

/// Reads the members of an object.
struct ObjectReader<'f> {
    found: &'f mut Found,
    level: Level,
}

impl<'a> ValueReader<'a> for ObjectReader<'_> {
    type Output = ();

    fn object<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { found, level } = self;
        while let Some(name) = map.next_key()? {
            let level = match (level, name) {
                (_, MemberName::Number) => {
                    map.next_value_seed(NumberOrObject)?;
                    continue;
                }
                (Level::Message, MemberName::Method) => {
                    let is_initialized = |text: &str| text == "notifications/initialized";
                    let method = map.next_value_seed(Seed(StringReader(is_initialized)))?;
                    found.is_initialized = method.unwrap_or(false);
                    continue;
                }
                (Level::Tools, MemberName::ListChanged) => {
                    found.lists.tools = map.next_value_seed(Seed(TrueReader))?;
                    continue;
                }
                (Level::Resources, MemberName::ListChanged) => {
                    found.lists.resources = map.next_value_seed(Seed(TrueReader))?;
                    continue;
                }
                (Level::Prompts, MemberName::ListChanged) => {
                    found.lists.prompts = map.next_value_seed(Seed(TrueReader))?;
                    continue;
                }
                (Level::Message, MemberName::Result) => Level::Result,
                (Level::Result, MemberName::Capabilities) => Level::Capabilities,
                (Level::Capabilities, MemberName::Tools) => Level::Tools,
                (Level::Capabilities, MemberName::Resources) => Level::Resources,
                (Level::Capabilities, MemberName::Prompts) => Level::Prompts,
                _ => {
                    skip_value(&mut map)?;
                    continue;
                }
            };
            map.next_value_seed(Seed(ObjectReader { found, level }))?;
        }
        Ok(())
    }

    fn other(self, _: ValueKind) {}
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn only_the_initialized_notification_is_one() {
        let is_initialized = |json: &str| is_initialized(json.as_bytes());
        assert!(is_initialized(r#"{"method":"notifications/initialized","jsonrpc":"2.0"}"#));
        assert!(is_initialized(
            r#" {"params":{"method":7},"method":"notifications\/initialized"} "#
        ));
        for json in [
            r#"{"method":"notifications/initialize"}"#,
            r#"{"params":{"method":"notifications/initialized"}}"#,
            r#"{"method":["notifications/initialized"]}"#,
            r#"{"method":"notifications/initialized""#,
            r#"{"method":"notifications/initialized"} x"#,
            "[]",
            "7",
            "",
        ] {
            assert!(!is_initialized(json), "{json}");
        }
        assert!(!super::is_initialized(b"\xff"));
    }

    #[test]
    fn lists_are_announced_by_true_only() {
        let lists = |capabilities: &str| {
            let json = format!(r#"{{"id":0,"result":{{"x":[1],"capabilities":{capabilities}}}}}"#);
            let lists = announced_lists(json.as_bytes());
            (lists.tools, lists.resources, lists.prompts)
        };
        let announced = r#"{"listChanged":true,"subscribe":true}"#;
        assert_eq!(lists(&format!(r#"{{"tools":{announced},"x":1}}"#)), (true, false, false));
        assert_eq!(lists(&format!(r#"{{"resources":{announced}}}"#)), (false, true, false));
        assert_eq!(lists(&format!(r#"{{"prompts":{announced}}}"#)), (false, false, true));
        for other in ["false", "1", "null", r#""true""#, "{}", "[true]", r#"{"listChanged":true}"#]
        {
            let json = format!(r#"{{"tools":{{"listChanged":{other}}},"prompts":{other}}}"#);
            let expected = other.contains("listChanged");
            assert_eq!(lists(&json), (false, false, expected), "{json}");
        }
        assert_eq!(lists(r#"{"x":{"tools":{"listChanged":true}}}"#), (false, false, false));
        assert_eq!(announced_lists(b"{}"), Lists::default());
        assert_eq!(announced_lists(br#"{"result":{"capabilities":{"tools":"#), Lists::default());
    }

    #[test]
    fn nesting_depth_is_irrelevant() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let json = format!(r#"{{"a":{deep},"method":"notifications/initialized"}}"#);
        assert!(is_initialized(json.as_bytes()));
    }
}
