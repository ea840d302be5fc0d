//! Scanner for the members of a message that determine its head.
//!
//! It makes one pass over the JSON and validates nothing but its syntax. It descends at most
//! three levels and skips everything else without recursion, so the nesting depth of the
//! input is irrelevant.

use alloc::{borrow::Cow, string::String};
use core::fmt;

use serde_core::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::{MessageFault, RequestDetails};
use crate::ProtocolVersion;

/// The members of a message that determine its head.
///
/// Ids and progress tokens are kept as JSON, because the representation of numbers in
/// `serde_json` depends on features that other crates may enable.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    /// Whether it is `"2.0"`.
    pub(super) jsonrpc: Member<bool>,
    pub(super) id: Member<&'a str>,
    /// `None` if it is not a string.
    pub(super) method: Member<Option<MethodName>>,
    pub(super) params: Member<ValueKind>,
    pub(super) params_meta: Member<ValueKind>,
    pub(super) params_meta_progress_token: Member<&'a str>,
    pub(super) params_progress_token: Member<&'a str>,
    pub(super) params_request_id: Member<&'a str>,
    pub(super) params_protocol_version: Member<Option<ProtocolVersion>>,
    pub(super) result: Member<ValueKind>,
    pub(super) result_protocol_version: Member<Option<ProtocolVersion>>,
    pub(super) result_capabilities: Member<ValueKind>,
    pub(super) result_capabilities_logging: Member<ValueKind>,
    pub(super) result_task: Member<ValueKind>,
    pub(super) error: Member<()>,
    /// What is found of them, if they are wanted.
    pub(super) details: Option<RequestDetails>,
}

impl<'a> Scan<'a> {
    /// Scans one value, and returns its kind.
    pub(super) fn read<D: Deserializer<'a>>(&mut self, json: D) -> Result<ValueKind, D::Error> {
        let level = Level::Message;
        Seed(ObjectReader { scan: self, level }).deserialize(json)
    }
}

/// A member of an object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Member<T> {
    /// The object does not have it.
    #[default]
    Absent,
    /// The object has it once.
    One(T),
    /// The object has it more than once. Parsers disagree on which value counts.
    Duplicate,
}

impl<T> Member<T> {
    /// Returns the value, if there is one. A duplicate is a fault, with the name `member`.
    pub(super) fn unique(self, member: &'static str) -> Result<Option<T>, MessageFault> {
        match self {
            Self::Absent => Ok(None),
            Self::One(value) => Ok(Some(value)),
            Self::Duplicate => Err(MessageFault::Duplicate { member }),
        }
    }

    /// Returns the value, unless the member is absent or duplicated.
    pub(super) fn if_unique(self) -> Option<T> {
        match self {
            Self::Absent | Self::Duplicate => None,
            Self::One(value) => Some(value),
        }
    }

    fn insert(&mut self, value: T) {
        *self = match self {
            Self::Absent => Self::One(value),
            Self::One(_) | Self::Duplicate => Self::Duplicate,
        };
    }
}

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Object,
    Array,
    Null,
    /// A string, a number or a boolean.
    Scalar,
}

/// A method that a session distinguishes.
#[derive(Clone, Copy, Debug)]
pub(super) enum MethodName {
    Initialize,
    Ping,
    Progress,
    Cancelled,
    Log,
    Other,
}

fn parse_method_name(text: &str) -> MethodName {
    match text {
        "initialize" => MethodName::Initialize,
        "ping" => MethodName::Ping,
        "notifications/progress" => MethodName::Progress,
        "notifications/cancelled" => MethodName::Cancelled,
        "notifications/message" => MethodName::Log,
        _ => MethodName::Other,
    }
}

/// An object whose members are read.
#[derive(Clone, Copy)]
enum Level {
    Message,
    Params,
    ParamsMeta,
    Result,
    ResultCapabilities,
}

/// Reads the members of an object.
struct ObjectReader<'s, 'a> {
    scan: &'s mut Scan<'a>,
    level: Level,
}

impl<'a> ObjectReader<'_, 'a> {
    /// Reads the value of a member, or skips it.
    fn read_member<A: MapAccess<'a>>(
        &mut self,
        name: MemberName,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let scan = &mut *self.scan;
        match (self.level, name) {
            (Level::Message, MemberName::Jsonrpc) => {
                let is_version =
                    map.next_value_seed(Seed(StringReader(|text: &str| text == "2.0")))?;
                scan.jsonrpc.insert(is_version.unwrap_or(false));
            }
            (Level::Message, MemberName::Id) => scan.id.insert(read_raw(map)?),
            (Level::Message, MemberName::Method) => {
                let details = &mut scan.details;
                let method = map.next_value_seed(Seed(StringReader(|text: &str| {
                    if let Some(details) = details {
                        details.set_method(text);
                    }
                    parse_method_name(text)
                })))?;
                scan.method.insert(method);
            }
            (Level::Message, MemberName::Params) => {
                let kind = read_object(scan, Level::Params, map)?;
                scan.params.insert(kind);
            }
            (Level::Message, MemberName::Result) => {
                let kind = read_object(scan, Level::Result, map)?;
                scan.result.insert(kind);
            }
            (Level::Message, MemberName::Error) => scan.error.insert(skip_value(map)?),
            (Level::Params, MemberName::Meta) => {
                let kind = read_object(scan, Level::ParamsMeta, map)?;
                scan.params_meta.insert(kind);
            }
            (Level::Params, MemberName::ProgressToken) => {
                scan.params_progress_token.insert(read_raw(map)?);
            }
            (Level::Params, MemberName::RequestId) => scan.params_request_id.insert(read_raw(map)?),
            (Level::Params, MemberName::ProtocolVersion) => {
                scan.params_protocol_version.insert(read_version(map)?);
            }
            (Level::Params, MemberName::Name | MemberName::Uri) => {
                read_detail(scan, map, RequestDetails::set_target)?;
            }
            (Level::ParamsMeta, MemberName::Traceparent) => {
                read_detail(scan, map, RequestDetails::set_traceparent)?;
            }
            (Level::ParamsMeta, MemberName::Tracestate) => {
                read_detail(scan, map, RequestDetails::set_tracestate)?;
            }
            (Level::ParamsMeta, MemberName::ProgressToken) => {
                scan.params_meta_progress_token.insert(read_raw(map)?);
            }
            (Level::Result, MemberName::ProtocolVersion) => {
                scan.result_protocol_version.insert(read_version(map)?);
            }
            (Level::Result, MemberName::Capabilities) => {
                let kind = read_object(scan, Level::ResultCapabilities, map)?;
                scan.result_capabilities.insert(kind);
            }
            (Level::Result, MemberName::Task) => {
                let kind = map.next_value_seed(Seed(KindReader))?;
                scan.result_task.insert(kind);
            }
            (Level::ResultCapabilities, MemberName::Logging) => {
                let kind = map.next_value_seed(Seed(KindReader))?;
                scan.result_capabilities_logging.insert(kind);
            }
            _ => skip_value(map)?,
        }
        Ok(())
    }
}

/// Returns the JSON text of a value.
fn read_raw<'a, A: MapAccess<'a>>(map: &mut A) -> Result<&'a str, A::Error> {
    map.next_value::<&RawValue>().map(RawValue::get)
}

fn read_version<'a, A: MapAccess<'a>>(map: &mut A) -> Result<Option<ProtocolVersion>, A::Error> {
    let version = map.next_value_seed(Seed(StringReader(ProtocolVersion::new)))?;
    Ok(version.flatten())
}

fn read_object<'a, A: MapAccess<'a>>(
    scan: &mut Scan<'a>,
    level: Level,
    map: &mut A,
) -> Result<ValueKind, A::Error> {
    map.next_value_seed(Seed(ObjectReader { scan, level }))
}

/// Reads a text for the details, if they are wanted; otherwise skips the value.
fn read_detail<'a, A: MapAccess<'a>>(
    scan: &mut Scan<'a>,
    map: &mut A,
    set: impl FnOnce(&mut RequestDetails, &str),
) -> Result<(), A::Error> {
    let Some(details) = &mut scan.details else { return skip_value(map) };
    // A text that Rust cannot represent is ignored: it does not make the message invalid.
    if let Ok(text) = serde_json::from_str::<Cow<'_, str>>(read_raw(map)?) {
        set(details, &text);
    }
    Ok(())
}

fn skip_value<'a, A: MapAccess<'a>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// The member name by which `serde_json` represents a number as an object, if any crate of
/// the build enables its feature `arbitrary_precision`.
const NUMBER_KEY: &str = "$serde_json::private::Number";

/// The name of a member that is read at some level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MemberName {
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
    Name,
    Uri,
    Traceparent,
    Tracestate,
    Number,
    Other,
}

impl<'a> Deserialize<'a> for MemberName {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = MemberName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_str<E>(self, name: &str) -> Result<MemberName, E> {
                Ok(match name {
                    "jsonrpc" => MemberName::Jsonrpc,
                    "id" => MemberName::Id,
                    "method" => MemberName::Method,
                    "params" => MemberName::Params,
                    "result" => MemberName::Result,
                    "error" => MemberName::Error,
                    "_meta" => MemberName::Meta,
                    "progressToken" => MemberName::ProgressToken,
                    "requestId" => MemberName::RequestId,
                    "protocolVersion" => MemberName::ProtocolVersion,
                    "capabilities" => MemberName::Capabilities,
                    "logging" => MemberName::Logging,
                    "task" => MemberName::Task,
                    "name" => MemberName::Name,
                    "uri" => MemberName::Uri,
                    "traceparent" => MemberName::Traceparent,
                    "tracestate" => MemberName::Tracestate,
                    NUMBER_KEY => MemberName::Number,
                    _ => MemberName::Other,
                })
            }
        }

        json.deserialize_identifier(NameVisitor)
    }
}

/// Converts a JSON value of any kind.
trait ValueReader<'a>: Sized {
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

    fn string(self, _: &str) -> Self::Output {
        self.other(ValueKind::Scalar)
    }

    fn other(self, kind: ValueKind) -> Self::Output;
}

impl<'a> ValueReader<'a> for ObjectReader<'_, 'a> {
    type Output = ValueKind;

    fn object<A: MapAccess<'a>>(mut self, mut map: A) -> Result<ValueKind, A::Error> {
        let mut kind = ValueKind::Object;
        while let Some(name) = map.next_key()? {
            if name == MemberName::Number {
                kind = map.next_value_seed(NumberOrObject)?;
            } else {
                self.read_member(name, &mut map)?;
            }
        }
        Ok(kind)
    }

    fn other(self, kind: ValueKind) -> ValueKind {
        kind
    }
}

/// Converts a string, and returns `None` for any other value.
struct StringReader<F>(F);

impl<T, F: FnOnce(&str) -> T> ValueReader<'_> for StringReader<F> {
    type Output = Option<T>;

    fn string(self, text: &str) -> Option<T> {
        Some((self.0)(text))
    }

    fn other(self, _: ValueKind) -> Option<T> {
        None
    }
}

/// Returns the kind of a value.
struct KindReader;

impl ValueReader<'_> for KindReader {
    type Output = ValueKind;

    fn other(self, kind: ValueKind) -> ValueKind {
        kind
    }
}

/// Distinguishes a number that is represented as an object from an object with such a member:
/// only the text of the number is an owned string.
struct NumberOrObject;

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

struct Seed<R>(R);

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

    fn visit_bool<E>(self, _: bool) -> Result<R::Output, E> {
        Ok(self.0.other(ValueKind::Scalar))
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

#[cfg(test)]
mod tests {
    use core::iter;

    use serde_core::de::value::{Error, MapDeserializer};

    use super::*;

    fn kind<'a, V>(value: V) -> Result<ValueKind, Error>
    where
        V: serde_core::de::IntoDeserializer<'a, Error>,
    {
        Scan::default().read(MapDeserializer::new(iter::once((NUMBER_KEY, value))))
    }

    #[test]
    fn number_in_any_representation_is_a_scalar() {
        for number in ["1.5", "-1e300", "18446744073709551616"] {
            assert_eq!(kind(String::from(number)), Ok(ValueKind::Scalar), "{number}");
        }
        assert!(kind(String::from("1e999")).is_err());
    }

    #[test]
    fn object_with_the_number_key_is_an_object() {
        assert_eq!(kind("1.5"), Ok(ValueKind::Object));
        assert_eq!(kind(1.5), Ok(ValueKind::Object));
        assert_eq!(kind(true), Ok(ValueKind::Object));
    }
}
