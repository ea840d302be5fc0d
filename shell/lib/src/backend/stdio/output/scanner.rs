//! Scanner for the outlines of the objects in a line.
//!
//! It is incremental, keeps only the outline of one object and the value of its `id`, and does not
//! check whether strings, numbers or nested values are well-formed.

use memchr::memchr2;
use rejoin_core::ID_BYTES_MAX;

use super::outline::{Id, Outline};

/// Maximum length of the JSON of an id: every byte of its text may be escaped, as in `\u0041`.
const ID_JSON_BYTES_MAX: usize = 6 * ID_BYTES_MAX + 2;

/// Finds the outlines of the objects in a line.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the states are independent")]
pub(super) struct OutlineScanner {
    object: Outline,
    /// Nesting depth: the number of open objects and arrays, including the object itself.
    depth: usize,
    position: Position,
    member: Member,
    /// The name of a member, or the value of an id: at most [`ID_JSON_BYTES_MAX`] bytes.
    text: Vec<u8>,
    is_in_string: bool,
    is_escaped: bool,
    is_prefixed: bool,
    /// Whether the open object has already been reported.
    is_reported: bool,
}

/// What comes next at the top level of the object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Position {
    #[default]
    Name,
    Colon,
    Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Member {
    Id,
    Error,
    #[default]
    Other,
}

impl OutlineScanner {
    /// Passes the outline of each object of a complete line to `on_object`.
    pub(super) fn of(bytes: &[u8], mut on_object: impl FnMut(Outline)) {
        let mut scanner = Self::default();
        scanner.feed(bytes, &mut on_object);
        scanner.finish().into_iter().for_each(on_object);
    }

    /// Scans the next bytes of the line, and passes the outline of each object that ends in them
    /// to `on_object`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut on_object: impl FnMut(Outline)) {
        while let [byte, rest @ ..] = bytes {
            if self.is_in_string && !self.is_escaped && !self.collects() {
                let plain = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                if plain > 0 {
                    bytes = bytes.get(plain..).unwrap_or_default();
                    continue;
                }
            }
            self.step(*byte).into_iter().for_each(&mut on_object);
            bytes = rest;
        }
    }

    /// Returns the outline of the open object, if its kind and id are already known. The object
    /// is not reported again.
    pub(super) fn take_decided(&mut self) -> Option<Outline> {
        let is_decided = !self.is_reported && self.object.is_decided();
        self.is_reported |= is_decided;
        is_decided.then(|| std::mem::take(&mut self.object))
    }

    /// Returns the outline of the last object, if it is incomplete.
    pub(super) fn finish(mut self) -> Option<Outline> {
        if self.depth > 0 { self.close(false) } else { None }
    }

    /// Scans one byte, and returns the object that it ends.
    fn step(&mut self, byte: u8) -> Option<Outline> {
        if self.is_in_string {
            self.step_in_string(byte);
        } else if self.depth == 0 {
            self.step_outside(byte);
        } else {
            return self.step_in_object(byte);
        }
        None
    }

    fn step_outside(&mut self, byte: u8) {
        match byte {
            b'{' => {
                self.depth = 1;
                self.position = Position::Name;
                self.is_reported = false;
                self.object = Outline { is_prefixed: self.is_prefixed, ..Outline::default() };
            }
            b'[' | b']' | b',' | b' ' | b'\t' | b'\r' => {}
            _ => self.is_prefixed = true,
        }
    }

    fn step_in_string(&mut self, byte: u8) {
        let is_end = byte == b'"' && !self.is_escaped;
        self.is_escaped = byte == b'\\' && !self.is_escaped;
        if !is_end || self.is_id() {
            self.collect(byte);
        }
        if is_end {
            self.is_in_string = false;
            if self.depth == 1 && self.position == Position::Name {
                self.position = Position::Colon;
            }
        }
    }

    fn step_in_object(&mut self, byte: u8) -> Option<Outline> {
        match byte {
            b'"' => {
                self.is_in_string = true;
                if self.is_id() {
                    self.collect(byte);
                } else {
                    self.text.clear();
                }
            }
            b':' if self.depth == 1 && self.position == Position::Colon => self.begin_value(),
            b',' if self.depth == 1 => {
                self.end_value();
                self.position = Position::Name;
            }
            b'{' | b'[' => {
                if self.depth == 1
                    && self.member == Member::Error
                    && self.position == Position::Value
                {
                    self.object.has_error = true;
                }
                if self.is_id() {
                    self.collect(byte);
                }
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' if self.depth == 1 => {
                self.end_value();
                return self.close(true);
            }
            b'}' | b']' => self.depth -= 1,
            b' ' | b'\t' | b'\r' => {}
            _ if self.is_id() => self.collect(byte),
            _ => {}
        }
        None
    }

    fn begin_value(&mut self) {
        self.member = Member::Other;
        match self.text.as_slice() {
            b"jsonrpc" => self.object.has_jsonrpc = true,
            b"method" => self.object.has_method = true,
            b"result" => self.object.has_result = true,
            b"error" => self.member = Member::Error,
            b"id" => self.member = Member::Id,
            b"params" => {}
            _ => self.object.has_others = true,
        }
        self.text.clear();
        self.position = Position::Value;
    }

    fn end_value(&mut self) {
        if self.is_id() {
            let found = serde_json::from_slice(&self.text).map_or(Id::Invalid, Id::Known);
            let earlier = std::mem::take(&mut self.object.id);
            self.object.id = match earlier {
                Id::Absent => found,
                earlier if earlier == found => earlier,
                Id::Known(_) | Id::Invalid | Id::Ambiguous => Id::Ambiguous,
            };
        }
        self.member = Member::Other;
        self.text.clear();
    }

    /// Ends the object, and returns it unless it has been reported.
    fn close(&mut self, is_whole: bool) -> Option<Outline> {
        let object = std::mem::take(&mut self.object);
        let is_taken = std::mem::take(&mut self.is_reported);
        self.depth = 0;
        self.member = Member::Other;
        (!is_taken).then_some(Outline { is_complete: is_whole, ..object })
    }

    /// Returns whether the scanner is in the value of the object's own id.
    fn is_id(&self) -> bool {
        self.depth == 1 && self.position == Position::Value && self.member == Member::Id
    }

    fn collects(&self) -> bool {
        self.is_id() || (self.depth == 1 && self.position == Position::Name)
    }

    /// Buffers a byte. One byte more than the maximum makes the id invalid.
    fn collect(&mut self, byte: u8) {
        if self.collects() && self.text.len() <= ID_JSON_BYTES_MAX {
            self.text.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlines_of(text: &str) -> Vec<Outline> {
        let mut outlines = Vec::new();
        OutlineScanner::of(text.as_bytes(), |outline| outlines.push(outline));
        outlines
    }

    fn outline(text: &str) -> Outline {
        let mut outlines = outlines_of(text);
        assert_eq!(outlines.len(), 1, "{text}");
        outlines.remove(0)
    }

    #[test]
    fn id_is_found_at_any_position() {
        let long = "x".repeat(300_000);
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#, Id::Known(7.into())),
            (r#"{"result":{"a":[{"id":8}],"b":"}\",\"id\":9"},"id":7}"#, Id::Known(7.into())),
            (r#"{"result":{},"id" : "a\"b" }"#, Id::Known("a\"b".try_into().unwrap())),
            (r#"{"id":-7,"result":NaN}"#, Id::Known((-7).into())),
            ("{\"id\":7,\"result\":\"\t\u{1}\"}", Id::Known(7.into())),
            (r#"{"id":7,"result":[[[["#, Id::Known(7.into())),
            (r#"{"result":{"a":"b""#, Id::Absent),
            (r#"{"id":7"#, Id::Absent),
            (r#"{"id":null,"error":{}}"#, Id::Invalid),
            (r#"{"id":{"id":1},"error":{}}"#, Id::Invalid),
            (r#"{"id":[1],"error":{}}"#, Id::Invalid),
            (r#"{"id":1.5,"error":{}}"#, Id::Invalid),
            (r#"{"id":7,"id":7,"result":1}"#, Id::Known(7.into())),
            (r#"{"id":7,"id":8,"result":1}"#, Id::Ambiguous),
            (r#"{"i\u0064":7,"result":1}"#, Id::Absent),
            (&format!(r#"{{"result":"{long}","id":7}}"#), Id::Known(7.into())),
            (&format!(r#"{{"id":"{long}","result":1}}"#), Id::Invalid),
        ] {
            assert_eq!(outline(text).id, id, "{}", text.get(..60).unwrap_or(text));
        }
    }

    #[test]
    fn outlines_do_not_depend_on_chunks() {
        let text = r#"a {"result":{"a":"\\\"","b":[1,{}]},"id":"\u00e9"}{"error":{},"id":1}"#;
        let whole = outlines_of(text);
        let (mut scanner, mut pieces) = (OutlineScanner::default(), Vec::new());
        for byte in text.as_bytes().chunks(1) {
            scanner.feed(byte, |outline| pieces.push(outline));
        }
        pieces.extend(scanner.finish());
        assert_eq!(pieces, whole);
        assert_eq!(whole.len(), 2);
        assert!(whole[0].is_prefixed && whole[1].is_prefixed);
        assert_eq!(whole[0].id, Id::Known("é".try_into().unwrap()));
    }

    #[test]
    fn responses_are_distinguished_from_log_lines() {
        for (text, is_response) in [
            (r#"{"id":1,"result":"#, true),
            (r#"{"id":1,"error":{"code":1}"#, true),
            (r#"{"jsonrpc":"2.0","id":1}"#, true),
            (r#"{"jsonrpc":"2.0","id":1,"#, false),
            (r#"{"id":1,"method":"a","params":{}}"#, false),
            (r#"{"id":1,"method":"a","result":1}"#, true),
            (r#"{"id":1}"#, false),
            // Lines of a log.
            (r#"{"id":1,"level":"error","error":"refused"}"#, false),
            (r#"{"id":1,"error":{"code":1},"level":"error"}"#, false),
            (r#"{"id":1,"result":1,"msg":"sending"}"#, false),
            (r#"{"id":1,"error":null}"#, false),
            ("{'id':1,'result':1}", false),
            ("{id:1,result:{}}", false),
        ] {
            assert_eq!(outline(text).is_response(), is_response, "{text}");
        }
    }

    #[test]
    fn text_without_an_object_has_no_id() {
        for text in ["", "hello", "[1,2]", "}]", "\"{\\\"id\\\":1}"] {
            let outlines = outlines_of(text);
            assert!(outlines.iter().all(|outline| outline.id == Id::Absent), "{text}");
        }
    }

    #[test]
    fn decided_object_is_reported_once_before_its_end() {
        let mut scanner = OutlineScanner::default();
        let mut decided = |text: &str| {
            let mut ids = Vec::new();
            scanner.feed(text.as_bytes(), |outline| ids.push(outline.id));
            ids.extend(scanner.take_decided().map(|outline| outline.id));
            ids
        };
        let [one, two] = [1, 2].map(|id| Id::Known(id.into()));
        assert_eq!(decided(r#"[{"result":{},"id":1},{"id":2,"#), [one]);
        assert_eq!(decided(r#""result":"a"#), [two]);
        assert_eq!(decided(r#"b"},{"result":3"#), []);
        assert_eq!(decided(r#","id":"c"}]"#), [Id::Known("c".try_into().unwrap())]);
        assert_eq!(scanner.finish(), None);
    }

    #[test]
    fn every_object_is_reported() {
        assert_eq!(outlines_of(&"{}".repeat(1_000)).len(), 1_000);
    }
}
