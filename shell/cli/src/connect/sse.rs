//! Parser of event streams with bounded memory.
//!
//! Specification: HTML Living Standard, "Server-sent events".

use std::{mem, time::Duration};

use bytes::Bytes;
use memchr::memchr2;

/// An event with an id, a retry or data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// The `id:` field.
    pub(super) id: Option<String>,
    /// The `retry:` field.
    pub(super) retry: Option<Duration>,
    /// The `data:` fields, joined by line breaks; empty if the event has another type than
    /// `message`.
    pub(super) data: Bytes,
    /// Whether the data was dropped, because it is too large.
    pub(super) is_too_large: bool,
}

/// An incremental parser. It keeps at most `bytes_max` bytes of data, and as many of a line.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Parser {
    bytes_max: usize,
    line: Vec<u8>,
    /// Whether the rest of the line is dropped.
    is_skipping: bool,
    /// Whether the last byte was a CR, so that a LF belongs to it.
    after_cr: bool,
    /// Whether a line has ended: a byte order mark is before it.
    has_begun: bool,
    data: Vec<u8>,
    has_data: bool,
    is_other_type: bool,
    event: SseEvent,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Parser {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            line: Vec::new(),
            is_skipping: false,
            after_cr: false,
            has_begun: false,
            data: Vec::new(),
            has_data: false,
            is_other_type: false,
            event: SseEvent::default(),
        }
    }

    /// Parses received bytes up to the end of the next event. `rest` is then what follows.
    pub(super) fn next(&mut self, rest: &mut &[u8]) -> Option<SseEvent> {
        loop {
            // A line feed after a carriage return may come in a later part.
            if !rest.is_empty()
                && mem::take(&mut self.after_cr)
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                *rest = after;
            }
            let Some(end) = memchr2(b'\r', b'\n', rest) else {
                self.extend_line(rest);
                *rest = &[];
                return None;
            };
            let (part, after) = rest.split_at(end);
            self.extend_line(part);
            self.after_cr = after.starts_with(b"\r");
            *rest = after.get(1..).unwrap_or_default();
            let event = self.end_line();
            if event.is_some() {
                return event;
            }
        }
    }

    fn extend_line(&mut self, part: &[u8]) {
        if self.is_skipping || part.is_empty() {
            return;
        }
        if self.line.len() + part.len() > self.bytes_max.saturating_add(b"data: ".len()) {
            // Only a line of data may be that long; any other one is dropped.
            self.event.is_too_large |= self.line.starts_with(b"data") || part.starts_with(b"data");
            self.is_skipping = true;
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    /// Handles the end of a line. Returns the event that it ends.
    fn end_line(&mut self) -> Option<SseEvent> {
        let mut line = mem::take(&mut self.line);
        if !mem::replace(&mut self.has_begun, true) && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        if mem::take(&mut self.is_skipping) {
            return None;
        }
        if line.is_empty() {
            return self.end_event();
        }
        self.add_field(&line);
        line.clear();
        self.line = line;
        None
    }

    fn add_field(&mut self, line: &[u8]) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.add_data(value),
            b"id" if !value.contains(&0) => self.event.id = String::from_utf8(value.into()).ok(),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let millis = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.event.retry = millis.map(Duration::from_millis).or(self.event.retry);
            }
            b"event" => self.is_other_type = !matches!(value, b"" | b"message"),
            _ => {}
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        if self.data.len() + usize::from(self.has_data) + value.len() > self.bytes_max {
            self.event.is_too_large = true;
        }
        if self.event.is_too_large {
            self.data = Vec::new();
            return;
        }
        if mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
    }

    /// Handles the end of an event. Returns `None` for one that says nothing.
    fn end_event(&mut self) -> Option<SseEvent> {
        let mut event = mem::take(&mut self.event);
        let data = mem::take(&mut self.data);
        self.has_data = false;
        if mem::take(&mut self.is_other_type) {
            event.is_too_large = false;
        } else if !event.is_too_large {
            event.data = data.into();
        }
        (event != SseEvent::default()).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(max: usize, chunks: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = Parser::new(max);
        let mut events = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(event) = parser.next(&mut rest) {
                events.push(event);
            }
            assert!(rest.is_empty());
        }
        events
    }

    fn event(id: Option<&str>, data: &str) -> SseEvent {
        SseEvent {
            id: id.map(str::to_owned),
            data: Bytes::copy_from_slice(data.as_bytes()),
            ..SseEvent::default()
        }
    }

    #[test]
    fn fields_comments_and_line_ends_are_parsed() {
        let text = "\u{feff}: comment\nid: a\r\ndata: {\rdata:}\n\nretry: 1500\nid:b\ndata\n\n\
                    data:  x\nother: y\n\n\n\nid\n\nid: c\0\nretry: 1s\n\nevent: ping\ndata: z\n\n\
                    event: message\ndata: m\n\ndata: unfinished\n";
        let retry = Some(Duration::from_millis(1_500));
        assert_eq!(
            parse(100, &[text.as_bytes()]),
            [
                event(Some("a"), "{\n}"),
                SseEvent { retry, ..event(Some("b"), "") },
                event(None, " x"),
                event(Some(""), ""),
                event(None, "m"),
            ]
        );
    }

    #[test]
    fn too_large_data_is_dropped_but_not_the_id() {
        let too_large = |id| SseEvent { is_too_large: true, ..event(id, "") };
        let data = |text: &str| parse(4, &[text.as_bytes()]);
        assert_eq!(data("data: 1234\n\n"), [event(None, "1234")]);
        assert_eq!(
            data("id: a\ndata: 12345\n\ndata: 1\n\n"),
            [too_large(Some("a")), event(None, "1")]
        );
        assert_eq!(data("data: 12\ndata: 345\nid: a\n\n"), [too_large(Some("a"))]);
        assert_eq!(data("data: 12\ndata: 3\n\n"), [event(None, "12\n3")]);
        assert_eq!(data("data: 12\ndata: 34\n\n"), [too_large(None)]);
        assert_eq!(data("data: 123456789012345\ndata: 1\nid: a\n\n"), [too_large(Some("a"))]);
        assert_eq!(data(": 123456789012345\nid: a\ndata: 1\n\n"), [event(Some("a"), "1")]);
    }

    /// A slow and simple parser of the same language, for texts without a byte order mark.
    fn reference(text: &str) -> Vec<SseEvent> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let Some((text, _)) = text.rsplit_once('\n') else { return Vec::new() };
        let mut events = Vec::new();
        let (mut event, mut lines, mut kind) = (SseEvent::default(), Vec::new(), "");
        for line in text.split('\n') {
            if line.is_empty() {
                let mut event = mem::take(&mut event);
                let data = mem::take(&mut lines).join("\n");
                if matches!(mem::take(&mut kind), "" | "message") {
                    event.data = data.into();
                }
                if event != SseEvent::default() {
                    events.push(event);
                }
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "data" => lines.push(value),
                "id" if !value.contains('\0') => event.id = Some(value.to_owned()),
                "event" => kind = value,
                "retry" => {
                    if let (true, Ok(millis)) =
                        (value.bytes().all(|it| it.is_ascii_digit()), value.parse())
                    {
                        event.retry = Some(Duration::from_millis(millis));
                    }
                }
                _ => {}
            }
        }
        events
    }

    #[test]
    fn a_line_break_may_be_in_two_parts() {
        let whole = parse(100, &[b"id: b\r\ndata: a\r\n\r\n"]);
        assert_eq!(whole.len(), 1);
        assert_eq!(parse(100, &[b"id: b\r", b"\ndata: a\r", b"\n\r\n"]), whole);
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_chunks_and_match_those_of_a_simple_parser(
            parts in prop::collection::vec(
                prop_oneof![
                    "(data|id|retry|event|x|)(:|: |)(message|[a-z0-9é]{0,4})",
                    "[\r\n]{1,3}",
                    "\\PC{0,3}",
                ],
                0..40,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = parts.concat();
            prop_assume!(!text.starts_with('\u{feff}'));
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> =
                at.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(1_000, &chunks), reference(&text), "{:?}", text);
        }

        #[test]
        fn memory_is_bounded_for_any_bytes(
            chunks in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..40),
                    "(data: ?|id:|\n|\r|x)*".prop_map(String::into_bytes),
                ],
                0..20,
            ),
        ) {
            let mut parser = Parser::new(8);
            for chunk in &chunks {
                let mut rest = chunk.as_slice();
                while let Some(event) = parser.next(&mut rest) {
                    prop_assert!(event.data.len() <= 8);
                }
                prop_assert!(parser.line.len() <= 8 + 6 && parser.data.len() <= 8);
            }
        }
    }
}
