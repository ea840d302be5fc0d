//! Property tests of the parser for heads.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::str;

use proptest::prelude::*;
use serde_core::de::IgnoredAny;
use serde_json::Value;

use super::{
    Head, Initialized, MessageFault, Method, Notification, ParseError, Parsed, id_value::parse_id,
    parse_head,
};
use crate::{IdValue, ProgressToken, ProtocolVersion, RequestId};

use Part::{Object, Text};

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_rejected(bytes: Vec<u8>, batch_max in 0..4_usize) {
        let _ = parse_head(&bytes, batch_max);
    }

    #[test]
    fn generated_messages_are_parsed_to_their_heads((head, json) in message()) {
        prop_assert_eq!(parse_head(json.as_bytes(), 0), Ok(Parsed::Single(head)), "{}", json);
    }

    #[test]
    fn batches_are_parsed_to_the_heads_of_their_messages(
        messages in prop::collection::vec(message(), 1..5),
        space in "[ \n]{0,2}",
    ) {
        let json = messages.iter().map(|(_, json)| json.as_str());
        let json = json.collect::<Vec<_>>().join(&format!("{space},{space}"));
        let json = format!("{space}[{space}{json}{space}]{space}");
        let Ok(Parsed::Batch(entries)) = parse_head(json.as_bytes(), 4) else {
            return Err(TestCaseError::fail(json));
        };
        prop_assert_eq!(entries.len(), messages.len());
        for (entry, (head, json)) in entries.iter().zip(&messages) {
            prop_assert_eq!(&entry.head, head);
            prop_assert_eq!(entry.bytes, json.trim().as_bytes());
        }
        let error = parse_head(json.as_bytes(), messages.len() - 1);
        let max = messages.len() - 1;
        prop_assert_eq!(error, Err(ParseError::BatchTooLong { max }));
    }

    #[test]
    fn only_invalid_json_is_reported_as_such(
        (_, json) in message(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let is_json = str::from_utf8(&bytes)
            .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        let is_reported_as_json = parse_head(&bytes, 4).map_or_else(|error| error.code() == -32_600, |_| true);
        prop_assert_eq!(is_reported_as_json, is_json, "{}", bytes.escape_ascii());
    }

    #[test]
    fn head_matches_that_of_a_parsed_tree(json in random_messages()) {
        let duplicates = |fault| matches!(fault, MessageFault::Duplicate { .. });
        match parse_single_head(&json) {
            Ok(_) if has_duplicates(&json) => {}
            Ok(head) => prop_assert_eq!(Some(head), parse_with_tree(&json), "{}", json),
            Err(fault) if duplicates(fault) => prop_assert!(has_duplicates(&json), "{}", json),
            Err(_) => prop_assert_eq!(None, parse_with_tree(&json), "{}", json),
        }
    }
}

/// Parses a single message.
fn parse_single_head(json: &str) -> Result<Head, MessageFault> {
    match parse_head(json.as_bytes(), 0) {
        Ok(Parsed::Single(head)) => Ok(head),
        Err(ParseError::Message { fault, .. }) => Err(fault),
        other => panic!("{json}: {other:?}"),
    }
}

/// A message, and its head.
fn message() -> impl Strategy<Value = (Head, String)> {
    (head(), surroundings()).prop_map(|((head, members), surroundings)| {
        let json = surroundings.object(&members);
        (head, json)
    })
}

/// Irrelevant members, order and whitespace of a message, which must not affect its head.
#[derive(Clone, Debug)]
struct Surroundings {
    /// Names and values of other members.
    others: Vec<(String, String)>,
    /// Seed of the order of the members.
    order: u64,
    space: String,
    /// Whether the first character of each name is escaped.
    escaped: bool,
}

fn surroundings() -> impl Strategy<Value = Surroundings> {
    let others = prop::collection::vec(("x[a-z]{0,20}", junk()), 0..4);
    (others, any::<u64>(), "[ \t\r\n]{0,3}", any::<bool>())
        .prop_map(|(others, order, space, escaped)| Surroundings { others, order, space, escaped })
}

impl Surroundings {
    fn object(&self, members: &[Member]) -> String {
        let space = &self.space;
        let others = self.others.iter();
        let mut all: Vec<_> = others
            .map(|(name, value)| (name.as_str(), value.clone()))
            .chain(members.iter().map(|(name, value)| match value {
                Text(json) => (*name, json.clone()),
                Object(members) => (*name, self.object(members)),
            }))
            .collect();
        let scatter = |order: u64, byte| (order ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        all.sort_by_key(|(name, _)| name.bytes().fold(self.order, scatter));
        let all = all.iter().map(|(name, value)| {
            let name = match (name.split_at(1), name.as_bytes()) {
                ((_, rest), [first, ..]) if self.escaped => format!("\\u{first:04x}{rest}"),
                _ => name.to_string(),
            };
            format!("{space}\"{name}\"{space}:{space}{value}{space}")
        });
        format!("{space}{{{}}}{space}", all.collect::<Vec<_>>().join(","))
    }
}

/// JSON without meaning for a session, up to four levels deep.
fn junk() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_string()),
        any::<bool>().prop_map(|bool| bool.to_string()),
        any::<i64>().prop_map(|integer| integer.to_string()),
        Just("-1.5E+300".to_string()),
        any::<String>().prop_map(|string| quoted(&string)),
        Just(r#""\ud800 \u0041 \\""#.to_string()),
    ];
    let names = prop_oneof![
        any::<String>(),
        "id|method|params|_meta|progressToken|result|capabilities|logging",
    ];
    leaf.prop_recursive(4, 32, 6, move |value| {
        let member = (names.clone(), value.clone());
        let member = member.prop_map(|(name, value)| format!("{} : {value}", quoted(&name)));
        prop_oneof![
            prop::collection::vec(value, 0..6).prop_map(|all| format!("[{}]", all.join(" , "))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}\n}}", all.join(","))),
        ]
    })
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A relevant member, by name.
type Member = (&'static str, Part);

#[derive(Clone, Debug)]
enum Part {
    /// JSON text.
    Text(String),
    /// An object that gets irrelevant members.
    Object(Vec<Member>),
}

fn string(name: &'static str, text: &str) -> Member {
    (name, Text(quoted(text)))
}

/// A head, and the members of a message with that head.
fn head() -> impl Strategy<Value = (Head, Vec<Member>)> {
    let heads = prop_oneof![requests(), notifications(), responses(), errors()];
    heads.prop_map(|(head, mut members)| {
        members.push(string("jsonrpc", "2.0"));
        (head, members)
    })
}

fn requests() -> impl Strategy<Value = (Head, Vec<Member>)> {
    let version = ProtocolVersion::new("2025-11-25");
    let method = prop::sample::select(vec![
        ("initialize", Method::Initialize { version }),
        ("ping", Method::Ping),
        ("tools/call", Method::Other),
    ]);
    let requests = (id(), method, prop::option::of(id()));
    requests.prop_map(|((id, id_json), (name, method), token)| {
        let (token, token_json) = token.unzip();
        let head =
            Head::Request { id: RequestId(id), method, progress_token: token.map(ProgressToken) };
        let token = token_json.map(|json| ("progressToken", Text(json)));
        let params = vec![
            ("_meta", Object(token.into_iter().collect())),
            string("protocolVersion", "2025-11-25"),
        ];
        let members =
            vec![("id", Text(id_json)), string("method", name), ("params", Object(params))];
        (head, members)
    })
}

fn notifications() -> impl Strategy<Value = (Head, Vec<Member>)> {
    let none = || Text("{}".to_string());
    let notifications = prop_oneof![
        id().prop_map(move |(token, json)| {
            let token = ProgressToken(token);
            let params = vec![("progressToken", Text(json)), ("requestId", none())];
            (Notification::Progress { token }, "progress", params)
        }),
        id().prop_map(move |(request, json)| {
            let request = RequestId(request);
            let params = vec![("progressToken", none()), ("requestId", Text(json))];
            (Notification::Cancelled { request }, "cancelled", params)
        }),
        Just((Notification::Log, "message", vec![])),
        Just((Notification::Other, "initialized", vec![])),
    ];
    notifications.prop_map(|(notification, method, params)| {
        let method = string("method", &format!("notifications/{method}"));
        let members = vec![method, ("params", Object(params))];
        (Head::Notification(notification), members)
    })
}

fn responses() -> impl Strategy<Value = (Head, Vec<Member>)> {
    let responses = (id(), any::<bool>(), any::<bool>(), any::<bool>());
    responses.prop_map(|((id, json), has_version, logging, creates_task)| {
        let version = has_version.then_some("2025-06-18");
        let head = Head::Response {
            id: RequestId(id),
            initialized: Initialized { version: version.and_then(ProtocolVersion::new), logging },
            creates_task,
        };
        let task = creates_task.then(|| ("task", Object(vec![])));
        let capabilities = logging.then(|| ("logging", Object(vec![])));
        let capabilities = ("capabilities", Object(capabilities.into_iter().collect()));
        let version = version.map(|version| string("protocolVersion", version));
        let result = version.into_iter().chain([capabilities]).chain(task).collect();
        (head, vec![("id", Text(json)), ("result", Object(result))])
    })
}

fn errors() -> impl Strategy<Value = (Head, Vec<Member>)> {
    (prop::option::of(id()), junk()).prop_map(|(id, junk)| {
        let (id, json) = id.unzip();
        let head = Head::Error { id: id.map(RequestId) };
        let json = json.unwrap_or("null".to_string());
        (head, vec![("id", Text(json)), ("error", Text(junk))])
    })
}

/// An id or progress token, and its JSON.
fn id() -> impl Strategy<Value = (IdValue, String)> {
    let integers = prop_oneof![
        any::<i64>().prop_map(|id| (id, id.to_string())),
        (-(1_i64 << 53)..=1 << 53).prop_map(|id| (id, format!("{id}.0"))),
        (1_i64..1_000).prop_map(|id| (id, format!("{id}000e-3"))),
    ];
    prop_oneof![
        integers.prop_map(|(id, json)| (IdValue::Integer(id), json)),
        "\\PC{0,60}".prop_map(|id| (id.as_str().try_into().unwrap(), quoted(&id))),
    ]
}

/// Objects that resemble messages: any relevant member with any value.
fn random_messages() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "jsonrpc",
        "id",
        "method",
        "params",
        "result",
        "error",
        "_meta",
        "progressToken",
        "requestId",
        "protocolVersion",
        "capabilities",
        "logging",
        "task",
        "x",
    ]);
    let leaf = prop::sample::select(vec![
        r#""2.0""#,
        "1",
        "1.0",
        "1.5",
        "null",
        "true",
        "[]",
        r#""ping""#,
        r#""initialize""#,
        r#""notifications/progress""#,
        r#""notifications/cancelled""#,
        r#""2025-06-18""#,
        r#""\u0061""#,
    ]);
    let value = leaf.prop_map(String::from).prop_recursive(3, 12, 3, move |value| {
        let members = prop::collection::vec((names.clone(), value), 0..4);
        members.prop_map(|members| render(&members))
    });
    let member = |name: &'static str| {
        prop::option::weighted(0.5, value.clone())
            .prop_map(move |value| value.map(|value| (name, value)))
    };
    let members = (
        member("id"),
        member("method"),
        member("params"),
        member("result"),
        member("error"),
        prop::option::weighted(0.1, (prop::sample::select(vec!["id", "params"]), value.clone())),
        prop::bool::weighted(0.9),
    );
    members.prop_map(|(id, method, params, result, error, again, jsonrpc)| {
        let jsonrpc = jsonrpc.then(|| ("jsonrpc", quoted("2.0")));
        let members = [jsonrpc, id, method, params, result, error, again];
        render(&members.into_iter().flatten().collect::<Vec<_>>())
    })
}

fn render(members: &[(&str, String)]) -> String {
    let members = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Parses a head by building a tree: the reference for the parser.
///
/// A tree has no duplicate members, so the text must not have any that are relevant.
fn parse_with_tree(json: &str) -> Option<Head> {
    let tree: Value = serde_json::from_str(json).ok()?;
    let tree = tree.as_object()?;
    let read = |value: &Value| parse_id(&value.to_string(), "");
    let given = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    if tree.get("jsonrpc")? != "2.0" {
        return None;
    }
    let id = match tree.get("id") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(id) => Some(Some(RequestId(read(id).ok()?))),
    };
    let has_result = tree.contains_key("result");
    let has_error = tree.contains_key("error");
    let Some(method) = tree.get("method") else {
        return match (has_result, has_error) {
            (true, false) => Some(Head::Response {
                id: id??,
                initialized: Initialized {
                    version: version(tree["result"].get("protocolVersion")),
                    logging: tree["result"]
                        .get("capabilities")
                        .and_then(|capabilities| capabilities.get("logging"))
                        .is_some_and(|logging| !logging.is_null()),
                },
                creates_task: tree["result"].get("task").is_some_and(Value::is_object),
            }),
            (false, true) => Some(Head::Error { id: id.flatten() }),
            _ => None,
        };
    };
    let method = method.as_str().filter(|_| !has_result && !has_error)?;
    let params = tree.get("params").unwrap_or(&Value::Null);
    if !params.is_null() && !params.is_object() && !params.is_array() {
        return None;
    }
    if let Some(id) = id {
        let token = given(params.get("_meta").and_then(|meta| meta.get("progressToken")));
        let token = token.as_ref().map(read).transpose().ok()?;
        return Some(Head::Request {
            id: id?,
            method: match method {
                "initialize" => {
                    Method::Initialize { version: version(params.get("protocolVersion")) }
                }
                "ping" => Method::Ping,
                _ => Method::Other,
            },
            progress_token: token.map(ProgressToken),
        });
    }
    Some(Head::Notification(match method {
        "notifications/progress" => match given(params.get("progressToken")) {
            Some(token) => Notification::Progress { token: ProgressToken(read(&token).ok()?) },
            None => Notification::Other,
        },
        "notifications/cancelled" => match given(params.get("requestId")) {
            Some(request) => Notification::Cancelled { request: RequestId(read(&request).ok()?) },
            None => Notification::Other,
        },
        "notifications/message" => Notification::Log,
        _ => Notification::Other,
    }))
}

fn version(value: Option<&Value>) -> Option<ProtocolVersion> {
    ProtocolVersion::new(value?.as_str()?)
}

fn has_duplicates(json: &str) -> bool {
    let tree: Value = serde_json::from_str(json).unwrap();
    // The generated text has no whitespace, and only one escape sequence.
    tree.to_string().len() != json.replace("\\u0061", "a").len()
}
