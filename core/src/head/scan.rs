//! Scanner for the members of a message that determine its head.
//!
//! It makes one pass over the JSON and validates nothing but its syntax. It descends at most
//! three levels and skips everything else without recursion, so the nesting depth of the
//! input is irrelevant.

use alloc::borrow::Cow;

use serde_core::de::{DeserializeSeed, Deserializer, MapAccess};
use serde_json::value::RawValue;

use super::{
    MessageFault, RequestDetails,
    member_name::MemberName,
    value::{KindReader, NumberOrObject, Seed, StringReader, ValueKind, ValueReader, skip_value},
};
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
    if let Some(text) = text(read_raw(map)?) {
        set(details, &text);
    }
    Ok(())
}

/// Returns the text of a JSON string. One that Rust cannot represent is ignored: it does not make
/// the message invalid.
fn text(json: &str) -> Option<Cow<'_, str>> {
    let quoted = json.strip_prefix('"')?.strip_suffix('"')?;
    if quoted.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(quoted))
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

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use core::iter;

    use serde_core::de::value::{Error, MapDeserializer};

    use super::*;
    use crate::head::member_name::NUMBER_KEY;

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
