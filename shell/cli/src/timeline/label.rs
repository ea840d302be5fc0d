//! Labels for messages, whose bodies are not recorded in journals, and for inputs.

use rejoin::rejoin_core::{Head, Input, Message, Method, Notification};

/// The label of an error that stands for a response, because the server took too long.
pub(super) const TIMED_OUT: &str = "the server took too long";

/// Maximum number of messages in the description of a batch.
const DESCRIBED_MAX: usize = 3;

/// Returns the label of a message, from its head.
pub(crate) fn describe(head: &Head) -> String {
    match head {
        Head::Request { id, method, progress_token } => {
            let token = progress_token.as_ref().map(|token| format!(", progress token {token}"));
            let token = token.unwrap_or_default();
            match method {
                Method::Initialize { version: Some(version) } => {
                    format!("initialize {id}, version {version}{token}")
                }
                Method::Initialize { version: None } => format!("initialize {id}{token}"),
                Method::Ping => format!("ping {id}{token}"),
                Method::Other => format!("request {id}{token}"),
            }
        }
        Head::Notification(Notification::Progress { token }) => format!("progress {token}"),
        Head::Notification(Notification::Cancelled { request }) => format!("cancelled {request}"),
        Head::Notification(Notification::Log) => "log message".to_owned(),
        Head::Notification(Notification::Other) => "notification".to_owned(),
        Head::Response { id, initialized, .. } => match initialized.version {
            Some(version) => format!("response {id}, version {version}"),
            None => format!("response {id}"),
        },
        Head::Error { id: Some(id) } => format!("error {id}"),
        Head::Error { id: None } => "error".to_owned(),
    }
}

/// Describes an input that was rejected.
pub(super) fn describe_input(input: &Input<()>) -> String {
    match input {
        Input::Post { post, .. } => describe_all(post.messages()),
        Input::Get { last_event_id: Some(id), .. } => format!("to resume after event {id}"),
        Input::Get { last_event_id: None, .. } => "to open the standalone stream".to_owned(),
        Input::BackendMessage { message, .. } => describe(&message.head),
        Input::Delete => "to end the session".to_owned(),
        Input::Abandon { stream } => format!("to abandon stream {stream}"),
        Input::Disconnect { stream, .. } => format!("to disconnect stream {stream}"),
        Input::CloseSession { .. }
        | Input::Acknowledged { .. }
        | Input::ConnectionClosed { .. }
        | Input::BackendGone
        | Input::BackendLost
        | Input::Committed { .. }
        | Input::LimitBytes { .. }
        | Input::Drain { .. }
        | Input::Tick => "an input of rejoin".to_owned(),
    }
}

/// Describes the first messages of a post.
fn describe_all<M>(messages: &[Message<M>]) -> String {
    let labels = messages.iter().take(DESCRIBED_MAX).map(|message| describe(&message.head));
    let labels = labels.collect::<Vec<_>>().join(", ");
    match messages.len().saturating_sub(DESCRIBED_MAX) {
        0 => labels,
        more => format!("{labels} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use rejoin::rejoin_core::Notification;

    use super::*;

    #[test]
    fn a_long_batch_is_described_by_its_first_messages() {
        let log = || Message { head: Head::Notification(Notification::Log), body: (), bytes: 0 };
        let described = |number| describe_all(&vec![log(); number]);
        assert_eq!(described(1), "log message");
        assert_eq!(described(3), "log message, log message, log message");
        assert_eq!(described(64), "log message, log message, log message and 61 more");
    }
}
