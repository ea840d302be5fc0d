//! Heads of a service's messages, derived from their types without parsing JSON.

use rejoin_core::{Head, Initialized, Notification, ProgressToken};
use rmcp::model::{
    JsonRpcMessage, NumberOrString, ServerJsonRpcMessage, ServerNotification, ServerResult,
};

use super::id;

/// Returns the head of a message, or `None` if its JSON has to be parsed.
pub(super) fn from_typed(message: &ServerJsonRpcMessage) -> Option<Head> {
    match message {
        JsonRpcMessage::Response(response) => {
            let id = id::from_rmcp(&response.id)?;
            let initialized = Initialized::default();
            let is_plain = !needs_parsing(&response.result);
            is_plain.then_some(Head::Response { id, initialized, creates_task: false })
        }
        JsonRpcMessage::Error(error) => {
            let id = id::from_rmcp(error.id.as_ref()?)?;
            Some(Head::Error { id: Some(id) })
        }
        JsonRpcMessage::Notification(notification) => {
            let ServerNotification::ProgressNotification(progress) = &notification.notification
            else {
                return None;
            };
            let token = token(&progress.params.progress_token.0)?;
            Some(Head::Notification(Notification::Progress { token }))
        }
        JsonRpcMessage::Request(_) => None,
    }
}

/// Returns whether a result may answer `initialize` or create a task, which only its JSON shows.
fn needs_parsing(result: &ServerResult) -> bool {
    matches!(
        result,
        ServerResult::InitializeResult(_)
            | ServerResult::CreateTaskResult(_)
            | ServerResult::CustomResult(_)
    )
}

fn token(token: &NumberOrString) -> Option<ProgressToken> {
    match token {
        NumberOrString::Number(number) => Some(ProgressToken::from(*number)),
        NumberOrString::String(text) => ProgressToken::try_from(&**text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use rejoin_core::{Parsed, parse_head};
    use rmcp::model::{
        CallToolResult, CustomNotification, CustomRequest, CustomResult, EmptyResult, ErrorData,
        InitializeResult, ProgressNotification, ProgressNotificationParam, ServerCapabilities,
    };
    use serde_json::json;

    use super::*;

    fn parsed(message: &ServerJsonRpcMessage) -> Head {
        match parse_head(&serde_json::to_vec(message).unwrap(), 0).unwrap() {
            Parsed::Single(head) => head,
            Parsed::Batch(_) => panic!("{message:?}"),
        }
    }

    #[test]
    fn head_from_type_equals_the_parsed_head() {
        let text = |length| NumberOrString::String("é".repeat(length).into());
        for id in [NumberOrString::Number(-7), text(3)] {
            let error = ErrorData::new(rmcp::model::ErrorCode(1), Cow::from("a"), None);
            let progress =
                ProgressNotificationParam::new(rmcp::model::ProgressToken(id.clone()), 1.0);
            let progress: ServerNotification = ProgressNotification::new(progress).into();
            for message in [
                JsonRpcMessage::response(CallToolResult::success(vec![]).into(), id.clone()),
                JsonRpcMessage::response(EmptyResult {}.into(), id.clone()),
                JsonRpcMessage::error(error, Some(id.clone())),
                JsonRpcMessage::notification(progress),
            ] {
                assert_eq!(from_typed(&message), Some(parsed(&message)), "{message:?}");
            }
        }
        let too_long = JsonRpcMessage::response(EmptyResult {}.into(), text(129));
        assert_eq!(from_typed(&too_long), None);
    }

    #[test]
    fn messages_whose_type_is_not_sufficient_are_parsed() {
        let initialize = InitializeResult::new(ServerCapabilities::default());
        let custom = CustomNotification::new("notifications/progress", Some(json!({})));
        let request = CustomRequest::new("a", None);
        for message in [
            JsonRpcMessage::response(initialize.into(), NumberOrString::Number(0)),
            JsonRpcMessage::response(
                CustomResult::new(json!({})).into(),
                NumberOrString::Number(0),
            ),
            JsonRpcMessage::notification(ServerNotification::CustomNotification(custom)),
            JsonRpcMessage::request(request.into(), NumberOrString::Number(0)),
        ] {
            assert_eq!(from_typed(&message), None, "{message:?}");
        }
    }
}
