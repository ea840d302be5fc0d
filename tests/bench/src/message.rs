//! Messages of the benchmark, and their parser.

use std::fmt::Write as _;

use memchr::memmem;

/// The protocol revision of every client.
pub(crate) const REVISION: &str = "2025-11-25";

/// A notification that is related to no request.
pub(crate) const UNRELATED: &str = r#"{"jsonrpc":"2.0","method":"notifications/news","params":{}}"#;

/// A tool, by its behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Responds at once.
    Echo,
    /// Sends this many progress notifications, then responds.
    Events(usize),
    /// Sends this many progress notifications, and never responds.
    Hang(usize),
    /// Responds after this many further calls of the tool.
    Lag(usize),
    /// Sends a notification on the standalone stream, then responds.
    Announce,
}

impl Tool {
    /// Returns the tool with a name and a count.
    pub(crate) fn from_name(name: &str, count: usize) -> Option<Self> {
        Some(match name {
            "echo" => Self::Echo,
            "events" => Self::Events(count),
            "hang" => Self::Hang(count),
            "lag" => Self::Lag(count),
            "announce" => Self::Announce,
            _ => return None,
        })
    }

    fn name(self) -> (&'static str, usize) {
        match self {
            Self::Echo => ("echo", 0),
            Self::Events(count) => ("events", count),
            Self::Hang(count) => ("hang", count),
            Self::Lag(count) => ("lag", count),
            Self::Announce => ("announce", 0),
        }
    }

    /// Returns the number of progress notifications that the tool sends.
    pub(crate) fn events(self) -> usize {
        match self {
            Self::Events(count) | Self::Hang(count) => count,
            Self::Echo | Self::Lag(_) | Self::Announce => 0,
        }
    }
}

/// Returns an `initialize` request.
pub(crate) fn initialize() -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{REVISION}","capabilities":{{}},"clientInfo":{{"name":"bench","version":"0"}}}}}}"#
    )
}

/// Returns the `initialized` notification.
pub(crate) fn initialized() -> &'static str {
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
}

/// Writes a tool call in the form that [`parse`] expects.
pub(crate) fn write_call(id: i64, prefix: &str, tool: Tool, text: &str, out: &mut String) {
    let (name, count) = tool.name();
    // Writing to a `String` does not fail.
    let _ = write!(
        out,
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{prefix}{name}","arguments":{{"message":"{text}","count":{count}}}"#
    );
    if tool.events() > 0 {
        let _ = write!(out, r#","_meta":{{"progressToken":{id}}}"#);
    }
    out.push_str("}}");
}

/// Returns a tool call.
pub(crate) fn call(id: i64, tool: Tool, text: &str) -> String {
    let mut out = String::with_capacity(192);
    write_call(id, "", tool, text, &mut out);
    out
}

/// Returns the response to `initialize`.
pub(crate) fn initialize_response() -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{REVISION}","capabilities":{{"tools":{{}},"logging":{{}}}},"serverInfo":{{"name":"bench","version":"0"}}}}}}"#
    )
}

/// Returns the response to a tool call.
pub(crate) fn tool_response(id: i64, text: &str) -> String {
    let id = id.to_string();
    let parts = [
        r#"{"jsonrpc":"2.0","id":"#,
        &id,
        r#","result":{"content":[{"type":"text","text":""#,
        text,
        r#""}],"isError":false}}"#,
    ];
    parts.concat()
}

/// Returns a progress notification.
pub(crate) fn progress(token: i64, step: usize) -> String {
    let (token, step) = (token.to_string(), step.to_string());
    let parts = [
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"#,
        &token,
        r#","progress":"#,
        &step,
        ".0}}",
    ];
    parts.concat()
}

/// A parsed message. It must have one of the forms above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// An `initialize` request.
    Initialize,
    /// A tool call: its id, tool and text.
    Call(i64, Tool, &'a str),
    /// Anything else.
    Other,
}

/// Parses a message cheaply, so that the handler takes little of the measured time.
pub(crate) fn parse(message: &[u8]) -> Parsed<'_> {
    let Ok(text) = std::str::from_utf8(message) else { return Parsed::Other };
    parse_as_written(text).or_else(|| parse_in_any_order(text)).unwrap_or_else(|| {
        let is_first = memmem::find(message, br#""method":"initialize""#).is_some();
        if is_first { Parsed::Initialize } else { Parsed::Other }
    })
}

/// Parses a request as [`initialize`] and [`write_call`] write it.
fn parse_as_written(message: &str) -> Option<Parsed<'_>> {
    let rest = message.strip_prefix(r#"{"jsonrpc":"2.0","id":"#)?;
    let (id, rest) = rest.split_once(',')?;
    let rest = rest.strip_prefix(r#""method":""#)?;
    if rest.starts_with(r#"initialize""#) {
        return Some(Parsed::Initialize);
    }
    let rest = rest.strip_prefix(r#"tools/call","params":{"name":""#)?;
    let (name, rest) = rest.split_once('"')?;
    let rest = rest.strip_prefix(r#","arguments":{"message":""#)?;
    let (text, rest) = rest.split_once('"')?;
    let (count, _) = rest.strip_prefix(r#","count":"#)?.split_once('}')?;
    to_call(id, name, text, count)
}

/// Parses a call that a gateway has serialized again, with members in any order.
fn parse_in_any_order(message: &str) -> Option<Parsed<'_>> {
    let id = between(message, r#""id":"#, &[',', '}'])?;
    let name = between(message, r#""name":""#, &['"'])?;
    let text = between(message, r#""message":""#, &['"'])?;
    let count = between(message, r#""count":"#, &[',', '}'])?;
    to_call(id, name, text, count)
}

fn to_call<'a>(id: &str, name: &str, text: &'a str, count: &str) -> Option<Parsed<'a>> {
    let tool = Tool::from_name(name, count.parse().ok()?)?;
    Some(Parsed::Call(id.parse().ok()?, tool, text))
}

fn between<'a>(text: &'a str, before: &str, after: &[char]) -> Option<&'a str> {
    let start = memmem::find(text.as_bytes(), before.as_bytes())? + before.len();
    let rest = text.get(start..)?;
    rest.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_parsed_as_written_and_in_any_order() {
        let expected = Parsed::Call(7, Tool::Events(3), "hello");
        let call = call(7, Tool::Events(3), "hello");
        assert_eq!(parse_as_written(&call), Some(expected));
        assert_eq!(parse_in_any_order(&call), Some(expected));
        let other = r#"{"method":"tools/call","params":{"arguments":{"count":3,"message":"hello"},"name":"events"},"id":7}"#;
        assert_eq!(parse(other.as_bytes()), expected);
        assert_eq!(parse(initialize().as_bytes()), Parsed::Initialize);
        assert_eq!(parse(initialized().as_bytes()), Parsed::Other);
    }
}
