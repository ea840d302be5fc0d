//! Reading heads from the bytes of a message, or of a batch of messages.

use alloc::vec::Vec;
use core::{fmt, str};

use serde_core::de::{
    DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, SeqAccess, Visitor,
};
use serde_json::{Deserializer, de::StrRead, value::RawValue};

use super::{
    Head, MessageFault, PeekError,
    classify::{call_id, classify},
    scan::{Kind, Scan},
};
/// What bytes turn out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peeked<'a> {
    /// One message.
    Single(Head),
    /// A JSON array of messages; at least one.
    Batch(Vec<BatchEntry<'a>>),
}

/// A message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry<'a> {
    /// What it is routed by.
    pub head: Head,
    /// Where it stands in the bytes of the batch.
    pub bytes: &'a [u8],
}

/// Reads the head of a message, or of each message of a batch.
///
/// It reads the bytes once, and a batch's twice. It does not build a tree,
/// recurse into what it skips, or copy anything but ids. It reads what it must
/// to route the message; whether the rest makes sense is for the receiver to
/// say.
///
/// A batch has at most `batch_max` messages; nothing is read after the first
/// one that is too many.
///
/// ```
/// use rejoin_core::{Head, Method, Peeked, RequestId, peek};
///
/// let peeked = peek(br#"{"jsonrpc": "2.0", "id": 7, "method": "ping"}"#, 64)?;
/// assert_eq!(
///     peeked,
///     Peeked::Single(Head::Request {
///         id: RequestId::from(7),
///         method: Method::Ping,
///         progress_token: None,
///     })
/// );
/// # Ok::<(), rejoin_core::PeekError>(())
/// ```
///
/// # Errors
///
/// The sender's fault. Where several things are wrong, it is first what is no
/// JSON, then a batch that is empty or too long, then the first entry.
pub fn peek(bytes: &[u8], batch_max: usize) -> Result<Peeked<'_>, PeekError> {
    // `serde_json` does not look into the strings that it skips.
    let text = str::from_utf8(bytes).map_err(|error| PeekError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    match first_byte(text) {
        Some(b'[') => batch(text, batch_max).map(Peeked::Batch),
        Some(_) => single(text).map(Peeked::Single),
        None => Err(PeekError::Empty),
    }
}

fn first_byte(text: &str) -> Option<u8> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    text.bytes().find(|byte| !is_space(byte))
}

fn single(text: &str) -> Result<Head, PeekError> {
    let mut json = Deserializer::from_str(text);
    let mut scan = Scan::default();
    let Ok(kind) = scan.read(&mut json) else {
        validate(text)?;
        return Err(MessageFault::Unreadable.into());
    };
    end(json)?;
    if kind != Kind::Object {
        return Err(MessageFault::NotObject.into());
    }
    classify(&scan).map_err(|fault| PeekError::Message {
        fault,
        id: call_id(&scan),
    })
}

/// Checks that the text is JSON, which has more in it than Rust has values for.
#[cold]
fn validate(text: &str) -> Result<(), PeekError> {
    let mut json = Deserializer::from_str(text);
    json.deserialize_ignored_any(IgnoredAny).map_err(not_json)?;
    end(json)
}

fn batch(text: &str, max: usize) -> Result<Vec<BatchEntry<'_>>, PeekError> {
    let mut json = Deserializer::from_str(text);
    let mut too_long = false;
    let entries = Entries {
        max,
        too_long: &mut too_long,
    };
    let entries = json.deserialize_seq(entries);
    if too_long {
        return Err(PeekError::BatchTooLong { max });
    }
    let entries = entries.map_err(not_json)?;
    end(json)?;
    if entries.is_empty() {
        return Err(PeekError::BatchEmpty);
    }
    let entries = entries.into_iter().enumerate();
    let entries = entries.map(|(index, entry)| {
        let head = single(entry).map_err(|error| error.of_entry(index))?;
        let bytes = entry.as_bytes();
        Ok(BatchEntry { head, bytes })
    });
    entries.collect()
}

fn end(mut json: Deserializer<StrRead<'_>>) -> Result<(), PeekError> {
    json.end().map_err(|error| PeekError::TrailingBytes {
        line: error.line(),
        column: error.column(),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_json(error: serde_json::Error) -> PeekError {
    PeekError::NotJson {
        line: error.line(),
        column: error.column(),
    }
}

/// Finds the entries of a batch.
///
/// `RawValue` is how `serde_json` tells where a value begins and ends. So an
/// entry is read a second time for its head, which only batches have to bear.
struct Entries<'t> {
    max: usize,
    too_long: &'t mut bool,
}

impl<'a> Visitor<'a> for Entries<'_> {
    type Value = Vec<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < self.max {
            let Some(entry) = array.next_element::<&RawValue>()? else {
                return Ok(entries);
            };
            entries.push(entry.get());
        }
        array.next_element_seed(Surplus(self.too_long))?;
        Ok(entries)
    }
}

/// Stands for an entry after the last one that is allowed, and fails unread.
struct Surplus<'t>(&'t mut bool);

impl<'a> DeserializeSeed<'a> for Surplus<'_> {
    type Value = ();

    fn deserialize<D: serde_core::Deserializer<'a>>(self, _: D) -> Result<(), D::Error> {
        *self.0 = true;
        Err(D::Error::custom("too many entries"))
    }
}
