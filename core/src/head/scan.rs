//! One pass over the JSON of a message, which finds what a head is made of.
//!
//! Nothing is judged here. The pass goes down three levels at most, and skips
//! everything else without recursion, so the depth of the input is no matter.

use alloc::string::String;
use core::fmt;

use serde_core::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::MessageFault;
use crate::ProtocolVersion;

/// What was found of a message.
///
/// Ids and progress tokens are kept as JSON: how `serde_json` would present a
/// number depends on the features that other crates turn on.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    /// Whether it is `"2.0"`.
    pub(super) jsonrpc: Slot<bool>,
    pub(super) id: Slot<&'a str>,
    /// What it says; `None` where it is no string.
    pub(super) method: Slot<Option<MethodName>>,
    pub(super) params: Slot<Kind>,
    pub(super) params_meta: Slot<Kind>,
    pub(super) params_meta_progress_token: Slot<&'a str>,
    pub(super) params_progress_token: Slot<&'a str>,
    pub(super) params_request_id: Slot<&'a str>,
    pub(super) params_protocol_version: Slot<Option<ProtocolVersion>>,
    pub(super) result: Slot<Kind>,
    pub(super) result_protocol_version: Slot<Option<ProtocolVersion>>,
    pub(super) result_capabilities: Slot<Kind>,
    pub(super) result_capabilities_logging: Slot<Kind>,
    pub(super) result_task: Slot<Kind>,
    pub(super) error: Slot<()>,
}

impl<'a> Scan<'a> {
    /// Reads one value, and returns what kind it is.
    pub(super) fn read<D: Deserializer<'a>>(&mut self, json: D) -> Result<Kind, D::Error> {
        let level = Level::Message;
        Seed(Object { scan: self, level }).deserialize(json)
    }
}

/// A member that is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Slot<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is there.
    Once(T),
    /// It is there more than once, so nobody can tell what it says.
    Twice,
}

impl<T> Slot<T> {
    /// Returns the value, if there is one; `member` names it in the fault.
    pub(super) fn once(self, member: &'static str) -> Result<Option<T>, MessageFault> {
        match self {
            Self::Absent => Ok(None),
            Self::Once(value) => Ok(Some(value)),
            Self::Twice => Err(MessageFault::Duplicate { member }),
        }
    }

    /// Returns the value, unless there is none or more than one.
    pub(super) fn sole(self) -> Option<T> {
        match self {
            Self::Absent | Self::Twice => None,
            Self::Once(value) => Some(value),
        }
    }

    fn put(&mut self, value: T) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Twice => Self::Twice,
        };
    }
}

/// What kind of value one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Null,
    /// A string, a number or a boolean.
    Scalar,
}

/// A method, if it is one that is told apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum MethodName {
    Initialize,
    Ping,
    Progress,
    Cancelled,
    Log,
    Other,
}

fn method_name(text: &str) -> MethodName {
    match text {
        "initialize" => MethodName::Initialize,
        "ping" => MethodName::Ping,
        "notifications/progress" => MethodName::Progress,
        "notifications/cancelled" => MethodName::Cancelled,
        "notifications/message" => MethodName::Log,
        _ => MethodName::Other,
    }
}

/// An object of which members are read.
#[derive(Clone, Copy)]
enum Level {
    Message,
    Params,
    ParamsMeta,
    Result,
    ResultCapabilities,
}

/// Reads the members of an object.
struct Object<'s, 'a> {
    scan: &'s mut Scan<'a>,
    level: Level,
}

impl<'a> Object<'_, 'a> {
    /// Reads the value of one member, or skips it.
    fn member<A: MapAccess<'a>>(&mut self, name: Name, map: &mut A) -> Result<(), A::Error> {
        let scan = &mut *self.scan;
        match (self.level, name) {
            (Level::Message, Name::Jsonrpc) => {
                let is_version = map.next_value_seed(Seed(Text(|text: &str| text == "2.0")))?;
                scan.jsonrpc.put(is_version.unwrap_or(false));
            }
            (Level::Message, Name::Id) => scan.id.put(json(map)?),
            (Level::Message, Name::Method) => {
                let method = map.next_value_seed(Seed(Text(method_name)))?;
                scan.method.put(method);
            }
            (Level::Message, Name::Params) => {
                let kind = descend(scan, Level::Params, map)?;
                scan.params.put(kind);
            }
            (Level::Message, Name::Result) => {
                let kind = descend(scan, Level::Result, map)?;
                scan.result.put(kind);
            }
            (Level::Message, Name::Error) => scan.error.put(skip(map)?),
            (Level::Params, Name::Meta) => {
                let kind = descend(scan, Level::ParamsMeta, map)?;
                scan.params_meta.put(kind);
            }
            (Level::Params, Name::ProgressToken) => scan.params_progress_token.put(json(map)?),
            (Level::Params, Name::RequestId) => scan.params_request_id.put(json(map)?),
            (Level::Params, Name::ProtocolVersion) => {
                scan.params_protocol_version.put(version(map)?);
            }
            (Level::ParamsMeta, Name::ProgressToken) => {
                scan.params_meta_progress_token.put(json(map)?);
            }
            (Level::Result, Name::ProtocolVersion) => {
                scan.result_protocol_version.put(version(map)?);
            }
            (Level::Result, Name::Capabilities) => {
                let kind = descend(scan, Level::ResultCapabilities, map)?;
                scan.result_capabilities.put(kind);
            }
            (Level::Result, Name::Task) => {
                let kind = map.next_value_seed(Seed(KindOnly))?;
                scan.result_task.put(kind);
            }
            (Level::ResultCapabilities, Name::Logging) => {
                let kind = map.next_value_seed(Seed(KindOnly))?;
                scan.result_capabilities_logging.put(kind);
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// Takes a value as the JSON that it is.
fn json<'a, A: MapAccess<'a>>(map: &mut A) -> Result<&'a str, A::Error> {
    map.next_value::<&RawValue>().map(RawValue::get)
}

fn version<'a, A: MapAccess<'a>>(map: &mut A) -> Result<Option<ProtocolVersion>, A::Error> {
    let version = map.next_value_seed(Seed(Text(ProtocolVersion::new)))?;
    Ok(version.flatten())
}

fn descend<'a, A: MapAccess<'a>>(
    scan: &mut Scan<'a>,
    level: Level,
    map: &mut A,
) -> Result<Kind, A::Error> {
    map.next_value_seed(Seed(Object { scan, level }))
}

fn skip<'a, A: MapAccess<'a>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// The name under which `serde_json` presents a number as an object of one member, if any
/// crate of the build turns its feature `arbitrary_precision` on.
const NUMBER: &str = "$serde_json::private::Number";

/// A name of a member that is read on some level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Jsonrpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    Meta,
    ProgressToken,
    RequestId,
    ProtocolVersion,
    Capabilities,
    Logging,
    Task,
    Number,
    Other,
}

impl<'a> Deserialize<'a> for Name {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "jsonrpc" => Name::Jsonrpc,
                    "id" => Name::Id,
                    "method" => Name::Method,
                    "params" => Name::Params,
                    "result" => Name::Result,
                    "error" => Name::Error,
                    "_meta" => Name::Meta,
                    "progressToken" => Name::ProgressToken,
                    "requestId" => Name::RequestId,
                    "protocolVersion" => Name::ProtocolVersion,
                    "capabilities" => Name::Capabilities,
                    "logging" => Name::Logging,
                    "task" => Name::Task,
                    NUMBER => Name::Number,
                    _ => Name::Other,
                })
            }
        }

        json.deserialize_identifier(NameVisitor)
    }
}

/// Makes something of a value, whatever its kind.
trait Read<'a>: Sized {
    type Output;

    fn object<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Output, A::Error> {
        let mut kind = Kind::Object;
        while let Some(name) = map.next_key::<Name>()? {
            if name == Name::Number {
                kind = map.next_value_seed(Number)?;
            } else {
                skip(&mut map)?;
            }
        }
        Ok(self.other(kind))
    }

    fn string(self, _: &str) -> Self::Output {
        self.other(Kind::Scalar)
    }

    fn other(self, kind: Kind) -> Self::Output;
}

impl<'a> Read<'a> for Object<'_, 'a> {
    type Output = Kind;

    fn object<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Kind, A::Error> {
        let mut kind = Kind::Object;
        while let Some(name) = map.next_key()? {
            if name == Name::Number {
                kind = map.next_value_seed(Number)?;
            } else {
                self.member(name, &mut map)?;
            }
        }
        Ok(kind)
    }

    fn other(self, kind: Kind) -> Kind {
        kind
    }
}

/// Makes something of a string.
struct Text<F>(F);

impl<T, F: FnOnce(&str) -> T> Read<'_> for Text<F> {
    type Output = Option<T>;

    fn string(self, text: &str) -> Option<T> {
        Some((self.0)(text))
    }

    fn other(self, _: Kind) -> Option<T> {
        None
    }
}

/// Makes nothing of a value.
struct KindOnly;

impl Read<'_> for KindOnly {
    type Output = Kind;

    fn other(self, kind: Kind) -> Kind {
        kind
    }
}

/// Tells a number that is presented as an object from an object with such a member: only
/// the number's text is an owned string.
struct Number;

impl<'a> DeserializeSeed<'a> for Number {
    type Value = Kind;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Kind, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Number {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_string<E: Error>(self, number: String) -> Result<Kind, E> {
        // As without the feature, a number must be one that Rust has a value for.
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Kind::Scalar),
            Ok(_) | Err(_) => Err(E::custom("number out of range")),
        }
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Kind, A::Error> {
        IgnoredAny.visit_map(map)?;
        Ok(Kind::Object)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, array: A) -> Result<Kind, A::Error> {
        IgnoredAny.visit_seq(array)?;
        Ok(Kind::Object)
    }

    fn visit_str<E>(self, _: &str) -> Result<Kind, E> {
        Ok(Kind::Object)
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Object)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Object)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Kind, E> {
        Ok(Kind::Object)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Kind, E> {
        Ok(Kind::Object)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Object)
    }
}

struct Seed<R>(R);

impl<'a, R: Read<'a>> DeserializeSeed<'a> for Seed<R> {
    type Value = R::Output;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<R::Output, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a, R: Read<'a>> Visitor<'a> for Seed<R> {
    type Value = R::Output;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<R::Output, A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, array: A) -> Result<R::Output, A::Error> {
        IgnoredAny.visit_seq(array)?;
        Ok(self.0.other(Kind::Array))
    }

    fn visit_str<E>(self, text: &str) -> Result<R::Output, E> {
        Ok(self.0.string(text))
    }

    fn visit_unit<E>(self) -> Result<R::Output, E> {
        Ok(self.0.other(Kind::Null))
    }

    fn visit_bool<E>(self, _: bool) -> Result<R::Output, E> {
        Ok(self.0.other(Kind::Scalar))
    }

    fn visit_i64<E>(self, _: i64) -> Result<R::Output, E> {
        Ok(self.0.other(Kind::Scalar))
    }

    fn visit_u64<E>(self, _: u64) -> Result<R::Output, E> {
        Ok(self.0.other(Kind::Scalar))
    }

    fn visit_f64<E>(self, _: f64) -> Result<R::Output, E> {
        Ok(self.0.other(Kind::Scalar))
    }
}

#[cfg(test)]
mod tests {
    use core::iter;

    use serde_core::de::value::{Error, MapDeserializer};

    use super::*;

    fn kind<'a, V>(value: V) -> Result<Kind, Error>
    where
        V: serde_core::de::IntoDeserializer<'a, Error>,
    {
        Scan::default().read(MapDeserializer::new(iter::once((NUMBER, value))))
    }

    #[test]
    fn a_number_is_one_however_it_is_presented() {
        for number in ["1.5", "-1e300", "18446744073709551616"] {
            assert_eq!(kind(String::from(number)), Ok(Kind::Scalar), "{number}");
        }
        assert!(kind(String::from("1e999")).is_err());
    }

    #[test]
    fn an_object_with_the_name_of_a_number_is_an_object() {
        assert_eq!(kind("1.5"), Ok(Kind::Object));
        assert_eq!(kind(1.5), Ok(Kind::Object));
        assert_eq!(kind(true), Ok(Kind::Object));
    }
}
