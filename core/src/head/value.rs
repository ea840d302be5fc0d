//! Conversion of a JSON value of any kind.

use alloc::string::String;
use core::fmt;

use serde_core::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::member_name::MemberName;

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Object,
    Array,
    Null,
    /// A string, a number or a boolean.
    Scalar,
}

/// Converts a JSON value of any kind.
pub(super) trait ValueReader<'a>: Sized {
    type Output;

    fn object<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Output, A::Error> {
        let mut kind = ValueKind::Object;
        while let Some(name) = map.next_key::<MemberName>()? {
            if name == MemberName::Number {
                kind = map.next_value_seed(NumberOrObject)?;
            } else {
                skip_value(&mut map)?;
            }
        }
        Ok(self.other(kind))
    }

    fn boolean(self, _: bool) -> Self::Output {
        self.other(ValueKind::Scalar)
    }

    fn string(self, _: &str) -> Self::Output {
        self.other(ValueKind::Scalar)
    }

    fn other(self, kind: ValueKind) -> Self::Output;
}

/// Converts a string, and returns `None` for any other value.
pub(super) struct StringReader<F>(pub(super) F);

impl<T, F: FnOnce(&str) -> T> ValueReader<'_> for StringReader<F> {
    type Output = Option<T>;

    fn string(self, text: &str) -> Option<T> {
        Some((self.0)(text))
    }

    fn other(self, _: ValueKind) -> Option<T> {
        None
    }
}

/// Returns whether a value is `true`.
pub(super) struct TrueReader;

impl ValueReader<'_> for TrueReader {
    type Output = bool;

    fn boolean(self, value: bool) -> bool {
        value
    }

    fn other(self, _: ValueKind) -> bool {
        false
    }
}

/// Returns the kind of a value.
pub(super) struct KindReader;

impl ValueReader<'_> for KindReader {
    type Output = ValueKind;

    fn other(self, kind: ValueKind) -> ValueKind {
        kind
    }
}

/// Distinguishes a number that is represented as an object from an object with such a member:
/// only the text of the number is an owned string.
pub(super) struct NumberOrObject;

impl<'a> DeserializeSeed<'a> for NumberOrObject {
    type Value = ValueKind;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<ValueKind, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for NumberOrObject {
    type Value = ValueKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_string<E: Error>(self, number: String) -> Result<ValueKind, E> {
        // Without the feature, a number out of range is an error, too.
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(ValueKind::Scalar),
            Ok(_) | Err(_) => Err(E::custom("number out of range")),
        }
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<ValueKind, A::Error> {
        IgnoredAny.visit_map(map)?;
        Ok(ValueKind::Object)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, array: A) -> Result<ValueKind, A::Error> {
        IgnoredAny.visit_seq(array)?;
        Ok(ValueKind::Object)
    }

    fn visit_str<E>(self, _: &str) -> Result<ValueKind, E> {
        Ok(ValueKind::Object)
    }

    fn visit_unit<E>(self) -> Result<ValueKind, E> {
        Ok(ValueKind::Object)
    }

    fn visit_bool<E>(self, _: bool) -> Result<ValueKind, E> {
        Ok(ValueKind::Object)
    }

    fn visit_i64<E>(self, _: i64) -> Result<ValueKind, E> {
        Ok(ValueKind::Object)
    }

    fn visit_u64<E>(self, _: u64) -> Result<ValueKind, E> {
        Ok(ValueKind::Object)
    }

    fn visit_f64<E>(self, _: f64) -> Result<ValueKind, E> {
        Ok(ValueKind::Object)
    }
}

/// Reads a value by a reader.
pub(super) struct Seed<R>(pub(super) R);

impl<'a, R: ValueReader<'a>> DeserializeSeed<'a> for Seed<R> {
    type Value = R::Output;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<R::Output, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a, R: ValueReader<'a>> Visitor<'a> for Seed<R> {
    type Value = R::Output;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<R::Output, A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, array: A) -> Result<R::Output, A::Error> {
        IgnoredAny.visit_seq(array)?;
        Ok(self.0.other(ValueKind::Array))
    }

    fn visit_str<E>(self, text: &str) -> Result<R::Output, E> {
        Ok(self.0.string(text))
    }

    fn visit_unit<E>(self) -> Result<R::Output, E> {
        Ok(self.0.other(ValueKind::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<R::Output, E> {
        Ok(self.0.boolean(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<R::Output, E> {
        Ok(self.0.other(ValueKind::Scalar))
    }

    fn visit_u64<E>(self, _: u64) -> Result<R::Output, E> {
        Ok(self.0.other(ValueKind::Scalar))
    }

    fn visit_f64<E>(self, _: f64) -> Result<R::Output, E> {
        Ok(self.0.other(ValueKind::Scalar))
    }
}

pub(super) fn skip_value<'a, A: MapAccess<'a>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}
