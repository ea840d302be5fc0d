//! Labels for messages, whose bodies are not recorded in journals.

use rejoin::rejoin_core::{Head, Method, Notification};

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
