//! Messages between a client and its backend, and their heads.

use std::sync::Arc;

use rejoin_core::{
    Head, Initialized, Message, Method, Notification, ProgressToken, ProtocolVersion, RequestId,
};

/// The body of a message in this driver.
///
/// It is typed, so its head is constructed. A driver that handles bytes would parse the head
/// with [`rejoin_core::parse_head`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The request that begins a session.
    Initialize { id: i64 },
    /// Its response.
    Initialized { id: i64 },
    /// A request to count. Its id is also its progress token.
    Count { id: i64, to: u64 },
    /// The progress of a count.
    Progress { token: i64, done: u64 },
    /// The response to a count.
    Counted { id: i64, to: u64 },
}

/// A shared payload, since messages are cloned when they are both sent and logged.
pub(crate) type Body = Arc<Payload>;

impl Payload {
    fn head(&self) -> Head {
        let version = ProtocolVersion::new("2025-11-25");
        match *self {
            Self::Initialize { id } => Head::Request {
                id: RequestId::from(id),
                method: Method::Initialize { version },
                progress_token: None,
            },
            Self::Initialized { id } => Head::Response {
                id: RequestId::from(id),
                initialized: Initialized { version, logging: false },
                creates_task: false,
            },
            Self::Count { id, to: _ } => Head::Request {
                id: RequestId::from(id),
                method: Method::Other,
                progress_token: Some(ProgressToken::from(id)),
            },
            Self::Progress { token, done: _ } => {
                Head::Notification(Notification::Progress { token: ProgressToken::from(token) })
            }
            Self::Counted { id, to: _ } => Head::Response {
                id: RequestId::from(id),
                initialized: Initialized::default(),
                creates_task: false,
            },
        }
    }
}

impl From<Payload> for Message<Body> {
    fn from(payload: Payload) -> Self {
        Self { head: payload.head(), bytes: size_of::<Payload>(), body: Body::new(payload) }
    }
}
