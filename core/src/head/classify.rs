//! Classification of a scanned message as a request, notification, response or error.

use super::{
    Head, Initialized, MessageFault, Method, Notification,
    id_value::parse_id,
    scan::{Member, MethodName, Scan},
    value::ValueKind,
};
use crate::{IdValue, ProgressToken, RequestId};

/// Returns the head of a scanned message.
///
/// Specification: JSON-RPC 2.0, sections 4 and 5.
pub(super) fn classify(scan: &Scan<'_>) -> Result<Head, MessageFault> {
    let jsonrpc = scan.jsonrpc.unique("jsonrpc")?;
    let id = scan.id.unique("id")?;
    let method = scan.method.unique("method")?;
    let params = scan.params.unique("params")?;
    let result = scan.result.unique("result")?;
    let error = scan.error.unique("error")?;
    if jsonrpc != Some(true) {
        return Err(MessageFault::WrongVersion);
    }
    match (method, result, error) {
        (Some(None), None, None) => Err(MessageFault::MethodNotString),
        (Some(_), None, None) if params == Some(ValueKind::Scalar) => {
            Err(MessageFault::ParamsNotStructured)
        }
        (Some(Some(method)), None, None) => match id {
            None => notification(method, scan).map(Head::Notification),
            Some(NULL) => Err(MessageFault::RequestIdNull),
            Some(id) => request(request_id(id)?, method, scan),
        },
        (None, Some(_), None) => match id {
            None | Some(NULL) => Err(MessageFault::ResponseWithoutId),
            Some(id) => Ok(Head::Response {
                id: request_id(id)?,
                initialized: initialized(scan),
                creates_task: scan.result_task.if_unique() == Some(ValueKind::Object),
            }),
        },
        (None, None, Some(())) => match id {
            None | Some(NULL) => Ok(Head::Error { id: None }),
            Some(id) => request_id(id).map(|id| Head::Error { id: Some(id) }),
        },
        (Some(_), _, _) => Err(MessageFault::MethodWithResult),
        (None, Some(_), Some(())) => Err(MessageFault::ResultAndError),
        (None, None, None) => Err(MessageFault::NoMethodOrResult),
    }
}

/// Returns the id of a message with a method, whatever else is wrong with it.
#[cold]
pub(super) fn intended_request_id(scan: &Scan<'_>) -> Option<RequestId> {
    if let Member::Absent = scan.method {
        return None;
    }
    scan.id.if_unique().and_then(|id| request_id(id).ok())
}

const NULL: &str = "null";

fn request_id(json: &str) -> Result<RequestId, MessageFault> {
    parse_id(json, "id").map(RequestId)
}

fn request(id: RequestId, method: MethodName, scan: &Scan<'_>) -> Result<Head, MessageFault> {
    let method = match method {
        MethodName::Initialize => {
            Method::Initialize { version: scan.params_protocol_version.if_unique().flatten() }
        }
        MethodName::Ping => Method::Ping,
        MethodName::Progress | MethodName::Cancelled | MethodName::Log | MethodName::Other => {
            Method::Other
        }
    };
    scan.params_meta.unique("params._meta")?;
    let token = optional_id(scan.params_meta_progress_token, "params._meta.progressToken")?;
    Ok(Head::Request { id, method, progress_token: token.map(ProgressToken) })
}

fn notification(method: MethodName, scan: &Scan<'_>) -> Result<Notification, MessageFault> {
    let notification = match method {
        MethodName::Progress => {
            let token = optional_id(scan.params_progress_token, "params.progressToken")?;
            token.map(|token| Notification::Progress { token: ProgressToken(token) })
        }
        MethodName::Cancelled => {
            let request = optional_id(scan.params_request_id, "params.requestId")?;
            request.map(|request| Notification::Cancelled { request: RequestId(request) })
        }
        MethodName::Log => Some(Notification::Log),
        MethodName::Initialize | MethodName::Ping | MethodName::Other => None,
    };
    Ok(notification.unwrap_or(Notification::Other))
}

/// Returns what a response to `initialize` negotiates. Duplicate members count as absent.
fn initialized(scan: &Scan<'_>) -> Initialized {
    let declares =
        |member: Member<ValueKind>| member.if_unique().is_some_and(|kind| kind != ValueKind::Null);
    Initialized {
        version: scan.result_protocol_version.if_unique().flatten(),
        logging: declares(scan.result_capabilities) && declares(scan.result_capabilities_logging),
    }
}

/// Parses an id that may be absent or `null`.
fn optional_id(slot: Member<&str>, member: &'static str) -> Result<Option<IdValue>, MessageFault> {
    let json = slot.unique(member)?.filter(|json| *json != NULL);
    json.map(|json| parse_id(json, member)).transpose()
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;
    use crate::{ParseError, Parsed, ProtocolVersion, parse_head};

    /// Parses a message of `jsonrpc` and `members`.
    fn check(members: &str, expected: &Result<Head, MessageFault>) {
        let json = format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        let found = match parse_head(json.as_bytes(), 1) {
            Ok(Parsed::Single(head)) => Ok(head),
            Err(ParseError::Message { fault, .. }) => Err(fault),
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(&found, expected, "{json}");
    }

    #[test]
    fn method_and_id_make_a_request() {
        let initialize = |version| Method::Initialize { version: ProtocolVersion::new(version) };
        let token = |token: &str| Some(ProgressToken::try_from(token).unwrap());
        for (members, method, progress_token) in [
            (r#""id":1,"method":"ping""#, Method::Ping, None),
            (r#""method":"ping","id":1"#, Method::Ping, None),
            (r#""method":"p\u0069ng","\u0069d":1.0"#, Method::Ping, None),
            (r#""id":1,"method":"Ping""#, Method::Other, None),
            (r#""id":1,"method":"","params":null"#, Method::Other, None),
            (r#""id":1,"method":"notifications/message""#, Method::Other, None),
            (r#""id":1,"method":"a","params":[{"_meta":1}]"#, Method::Other, None),
            (
                r#""id":1,"params":{"protocolVersion":"2025-06-18"},"method":"initialize""#,
                initialize("2025-06-18"),
                None,
            ),
            (
                r#""id":1,"params":{"protocolVersion":"2025-06\u002d18"},"method":"initialize""#,
                initialize("2025-06-18"),
                None,
            ),
            (
                r#""id":1,"params":{"protocolVersion":3},"method":"initialize""#,
                initialize(""),
                None,
            ),
            (
                r#""id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","protocolVersion":"2025-03-26"}"#,
                initialize(""),
                None,
            ),
            (
                r#""params":{"_meta":{"progressToken":"t"}},"id":1,"method":"ping""#,
                Method::Ping,
                token("t"),
            ),
            (
                r#""id":1,"method":"a","params":{"name":"b","_meta":{"x":[],"progressToken":5},"c":{}}"#,
                Method::Other,
                Some(ProgressToken::from(5)),
            ),
            // These are not places where a request has its token.
            (
                r#""id":1,"method":"a","params":{"progressToken":{},"requestId":{},"progressToken":[]},"_meta":{"progressToken":1}"#,
                Method::Other,
                None,
            ),
            (
                r#""id":1,"method":"a","params":{"arguments":{"_meta":{"progressToken":{}}},"_meta":{"_meta":{"progressToken":{}}}}"#,
                Method::Other,
                None,
            ),
            (r#""id":1,"method":"a","params":{"_meta":null}"#, Method::Other, None),
            (
                r#""id":1,"method":"a","params":{"_meta":{"progressToken":null}}"#,
                Method::Other,
                None,
            ),
            (r#""id":1,"method":"a","params":{"_meta":["progressToken"]}"#, Method::Other, None),
        ] {
            let head = Head::Request { id: 1.into(), method, progress_token };
            check(members, &Ok(head));
        }
    }

    #[test]
    fn method_without_id_makes_a_notification() {
        let progress = Notification::Progress { token: 7.into() };
        let cancelled = Notification::Cancelled { request: "r".try_into().unwrap() };
        for (members, notification) in [
            (r#""method":"notifications/initialized""#, Notification::Other),
            (r#""method":"ping""#, Notification::Other),
            (r#""method":"notifications/message""#, Notification::Log),
            (
                r#""method":"notifications/progress","params":{"progress":1,"progressToken":7}"#,
                progress.clone(),
            ),
            (r#""params":{"progressToken":7},"method":"notifications/progress""#, progress),
            (r#""method":"notifications/progress""#, Notification::Other),
            (r#""method":"notifications/progress","params":{"requestId":{}}"#, Notification::Other),
            (
                r#""method":"notifications/progress","params":{"_meta":{"progressToken":1}}"#,
                Notification::Other,
            ),
            (
                r#""method":"notifications/cancelled","params":{"requestId":"r","reason":"x"}"#,
                cancelled.clone(),
            ),
            (
                r#""params":{"\u0072equestId":"\u0072"},"method":"notifications/cancelled""#,
                cancelled,
            ),
            (r#""method":"notifications/cancelled","params":[]"#, Notification::Other),
            (
                r#""method":"notifications/cancelled","params":{"requestId":null}"#,
                Notification::Other,
            ),
            (
                r#""method":"a","params":{"_meta":1,"_meta":{"progressToken":{}},"progressToken":{}}"#,
                Notification::Other,
            ),
        ] {
            check(members, &Ok(Head::Notification(notification)));
        }
    }

    #[test]
    fn result_and_id_make_a_response() {
        for (result, version, logging) in [
            ("null", "", false),
            ("5", "", false),
            (r#""protocolVersion""#, "", false),
            (r#"[{"protocolVersion":"2025-06-18"}]"#, "", false),
            (r#"{"content":[]}"#, "", false),
            (
                r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"logging":{}}}"#,
                "2025-06-18",
                true,
            ),
            (r#"{"capabilities":{"logging":null},"protocolVersion":"1"}"#, "", false),
            (r#"{"capabilities":{"logging":true}}"#, "", true),
            (r#"{"capabilities":{"logging":[1]}}"#, "", true),
            (r#"{"capabilities":{"logging":"\n"}}"#, "", true),
            (r#"{"capabilities":[{"logging":{}}]}"#, "", false),
            (r#"{"logging":{},"x":{"capabilities":{"logging":{}}}}"#, "", false),
            (r#"{"protocolVersion":"2025-06-18","protocolVersion":"2025-06-18"}"#, "", false),
            (r#"{"capabilities":{},"capabilities":{"logging":{}}}"#, "", false),
            (r#"{"capabilities":{"logging":{},"logging":{}}}"#, "", false),
        ] {
            let head = Ok(Head::Response {
                id: 1.into(),
                initialized: Initialized { version: ProtocolVersion::new(version), logging },
                creates_task: false,
            });
            check(&format!(r#""id":1,"result":{result}"#), &head);
            check(&format!(r#""result":{result},"params":5,"id":1"#), &head);
        }
    }

    #[test]
    fn result_with_a_task_creates_a_task() {
        for (result, creates_task) in [
            (r#"{"task":{"taskId":"t","status":"working"}}"#, true),
            (r#"{"_meta":{},"t\u0061sk":{}}"#, true),
            (r#"{"task":null}"#, false),
            (r#"{"task":"t"}"#, false),
            (r#"{"task":[{}]}"#, false),
            (r#"{"task":{},"task":{}}"#, false),
            (r#"{"content":[{"task":{}}]}"#, false),
        ] {
            let initialized = Initialized::default();
            let head = Head::Response { id: 1.into(), initialized, creates_task };
            check(&format!(r#""id":1,"result":{result}"#), &Ok(head));
        }
    }

    #[test]
    fn error_may_lack_an_id() {
        let check = |members, id| check(members, &Ok(Head::Error { id }));
        check(r#""error":{"code":1},"id":1"#, Some(1.into()));
        check(r#""id":"a","error":null"#, Some("a".try_into().unwrap()));
        check(r#""id":null,"error":{}"#, None);
        check(r#""error":{}"#, None);
    }

    #[test]
    fn duplicate_members_are_rejected() {
        for (members, member) in [
            (r#""jsonrpc":"2.0","method":"a""#, "jsonrpc"),
            (r#""id":1,"id":1,"method":"a""#, "id"),
            (r#""id":1,"i\u0064":2,"method":"a""#, "id"),
            (r#""method":"a","method":"b""#, "method"),
            (r#""method":"a","params":{},"params":{}"#, "params"),
            (r#""id":1,"result":1,"result":1"#, "result"),
            (r#""error":1,"error":1"#, "error"),
            (
                r#""id":1,"method":"a","params":{"_meta":{},"_meta":{"progressToken":1}}"#,
                "params._meta",
            ),
            (
                r#""id":1,"method":"a","params":{"_meta":{"progressToken":1,"progressToken":1}}"#,
                "params._meta.progressToken",
            ),
            (
                r#""method":"notifications/progress","params":{"progressToken":1,"progressToken":1}"#,
                "params.progressToken",
            ),
            (
                r#""method":"notifications/cancelled","params":{"requestId":1,"requestId":1}"#,
                "params.requestId",
            ),
        ] {
            check(members, &Err(MessageFault::Duplicate { member }));
        }
    }

    #[test]
    fn invalid_messages_are_rejected_with_their_fault() {
        use MessageFault::{
            IdTooLong, InvalidId, MethodNotString, MethodWithResult, NoMethodOrResult, NotUnicode,
            ParamsNotStructured, RequestIdNull, ResponseWithoutId, ResultAndError, Unrepresentable,
            WrongVersion,
        };
        let long = format!(r#""id":"{}","method":"a""#, "x".repeat(257));
        for (members, fault) in [
            (r#""id":1"#, NoMethodOrResult),
            (r#""id":1,"Method":"a""#, NoMethodOrResult),
            (r#""id":1,"result":1,"error":1"#, ResultAndError),
            (r#""id":1,"result":null,"error":null"#, ResultAndError),
            (r#""id":1,"method":"a","result":1"#, MethodWithResult),
            (r#""method":"a","error":1"#, MethodWithResult),
            (r#""method":null,"result":1,"error":1"#, MethodWithResult),
            (r#""id":1,"method":null"#, MethodNotString),
            (r#""method":5"#, MethodNotString),
            (r#""method":{"method":"a"},"id":1"#, MethodNotString),
            (r#""method":["a"]"#, MethodNotString),
            (r#""id":null,"method":"a""#, RequestIdNull),
            (r#""result":1"#, ResponseWithoutId),
            (r#""result":1,"id":null"#, ResponseWithoutId),
            (r#""id":true,"method":"a""#, InvalidId { member: "id" }),
            (r#""id":{"id":1},"result":1"#, InvalidId { member: "id" }),
            (r#""id":1.5,"error":1"#, InvalidId { member: "id" }),
            (r#""id":"\udc00","method":"a""#, NotUnicode { member: "id" }),
            (long.as_str(), IdTooLong { member: "id" }),
            (
                r#""id":1,"method":"a","params":{"_meta":{"progressToken":false}}"#,
                InvalidId { member: "params._meta.progressToken" },
            ),
            (
                r#""method":"notifications/progress","params":{"progressToken":[]}"#,
                InvalidId { member: "params.progressToken" },
            ),
            (
                r#""method":"notifications/cancelled","params":{"requestId":0.1}"#,
                InvalidId { member: "params.requestId" },
            ),
            (r#""id":1,"method":"a","params":5"#, ParamsNotStructured),
            (r#""method":"a","params":"{}""#, ParamsNotStructured),
            (r#""method":"a","params":false"#, ParamsNotStructured),
            (r#""method":"\ud800""#, Unrepresentable),
            (r#""method":"a","\ud800":1"#, Unrepresentable),
            (r#""method":"a","params":1e999"#, Unrepresentable),
        ] {
            check(members, &Err(fault));
        }
        for version in ["", r#""jsonrpc":"1.0","#, r#""jsonrpc":2.0,"#, r#""jsonrpc":["2.0"],"#] {
            let json = format!(r#"{{{version}"id":1,"method":"a"}}"#);
            let expected = ParseError::Message { fault: WrongVersion, id: Some(1.into()) };
            assert_eq!(parse_head(json.as_bytes(), 1), Err(expected), "{json}");
        }
    }

    #[test]
    fn parse_error_has_the_id_of_requests_only() {
        for (json, id) in [
            (r#"{"id":7,"method":"a"}"#, Some(7)),
            (r#"{"jsonrpc":"2.0","id":7,"method":5}"#, Some(7)),
            (r#"{"jsonrpc":"2.0","id":7,"method":"a","result":1}"#, Some(7)),
            (r#"{"jsonrpc":"2.0","id":7,"id":7,"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"result":1,"error":1}"#, None),
            (r#"{"id":7}"#, None),
        ] {
            let error = parse_head(json.as_bytes(), 1).unwrap_err();
            assert_eq!(error.id(), id.map(RequestId::from).as_ref(), "{json}");
            assert_eq!(error.code(), -32_600, "{json}");
        }
    }

    #[test]
    fn fault_describes_the_valid_value() {
        let error = parse_head(br#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`id` must be a string or an integer from -2^63 to 2^63 - 1 (2^53, with a fraction or exponent)"
        );
    }
}
