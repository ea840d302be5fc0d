//! Tests that `docs/wire.md` lists the responses of the service.

use std::{collections::BTreeSet, fmt::Write as _};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;
use rejoin_core::{
    ClientFault, EventId, FailureReason, Rejection, RequestId, SessionCloseReason, StreamId,
    UnansweredReason,
};
use serde_json::Value;

use super::{Refusal, ResponseBody};
use crate::{ManagerError, SessionError, payload::Payload as _, render};

const PAGE: &str = include_str!("../../docs/wire.md");

/// The files that create refusals.
const SOURCES: [&str; 6] = [
    include_str!("head.rs"),
    include_str!("mod.rs"),
    include_str!("post.rs"),
    include_str!("receive.rs"),
    include_str!("refusal.rs"),
    include_str!("remote/mod.rs"),
];

#[tokio::test]
async fn the_page_lists_every_refusal_of_a_session() {
    let mut table = String::new();
    for error in errors() {
        let row = row(Refusal::from(error).into_response()).await;
        if !table.contains(&row) {
            table.push_str(&row);
        }
    }
    assert!(PAGE.contains(&table), "docs/wire.md must have this table:\n{table}");
}

#[test]
fn the_page_lists_every_failure() {
    let mut table = String::new();
    let id = RequestId::from(7);
    let closed = FailureReason::SessionClosed;
    for (reason, close_reason, exit_reason) in [
        (FailureReason::Evicted, None, None),
        (FailureReason::Expired, None, None),
        (FailureReason::Orphaned, None, None),
        (FailureReason::BackendGone, None, Some("process exited: exit status: 1")),
        (closed, None, None),
        (closed, Some(SessionCloseReason::Deleted), None),
        (closed, Some(SessionCloseReason::ServerShutdown), None),
        (closed, Some(SessionCloseReason::InitializeRejected), None),
        (closed, Some(SessionCloseReason::InitializeTimeout), None),
        (closed, Some(SessionCloseReason::InitializeUnacknowledged), None),
        (closed, Some(SessionCloseReason::Idle), None),
        (closed, Some(SessionCloseReason::BackendGone), None),
        (closed, Some(SessionCloseReason::Cancelled), None),
        (closed, Some(SessionCloseReason::InternalError), None),
        (closed, Some(SessionCloseReason::Exhausted), None),
        (closed, Some(SessionCloseReason::Moved), None),
    ] {
        let text = render::failure(reason, close_reason, exit_reason);
        let (code, message) = code_and_message(&Bytes::error_for_client(&id, &text));
        let _ = writeln!(table, "| `{message}` | {code} |");
    }
    assert!(PAGE.contains(&table), "docs/wire.md must have this table:\n{table}");
}

#[test]
fn the_page_lists_every_server_request_error() {
    let mut table = String::new();
    for reason in [
        UnansweredReason::Undelivered,
        UnansweredReason::Evicted,
        UnansweredReason::TimedOut,
        UnansweredReason::Cancelled,
    ] {
        let text = render::unanswered(reason);
        let error = Bytes::error_for_backend(&RequestId::from(7), render::INTERNAL_ERROR, text);
        let (code, message) = code_and_message(&error);
        let _ = writeln!(table, "| `{message}` | {code} |");
    }
    assert!(PAGE.contains(&table), "docs/wire.md must have this table:\n{table}");
}

#[test]
fn the_page_shows_a_gap() {
    let gap = render::gap_notification(EventId::new(StreamId::Request(3), 204), 5);
    let gap = String::from_utf8(gap.to_vec()).unwrap();
    assert!(PAGE.contains(&gap), "docs/wire.md must show:\n{gap}");
}

#[test]
fn the_page_lists_every_status() {
    for status in (100..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
        let Some(reason) = status.canonical_reason() else { continue };
        let name = format!("StatusCode::{}", reason.to_uppercase().replace([' ', '-'], "_"));
        let is_used = SOURCES.iter().any(|source| source.contains(&name));
        let number = format!("| {} |", status.as_u16());
        assert!(!is_used || PAGE.contains(&number), "docs/wire.md does not list {status}");
    }
}

#[test]
fn every_client_fault_has_a_sample() {
    let numbers: BTreeSet<usize> = faults().iter().map(number).collect();
    assert_eq!(numbers, (0..faults().len()).collect());
}

/// Numbers the faults. The lint `wildcard_enum_match_arm` finds a new one without a number, which
/// then needs a sample.
fn number(fault: &ClientFault) -> usize {
    match fault {
        ClientFault::NotInitialized => 0,
        ClientFault::AlreadyInitialized => 1,
        ClientFault::RequestIdInUse(_) => 2,
        ClientFault::ProgressTokenInUse(_) => 3,
        ClientFault::BatchNotAllowed => 4,
        ClientFault::BatchEmpty => 5,
        ClientFault::BatchTooLong { .. } => 6,
        ClientFault::InitializeInBatch => 7,
        ClientFault::MessageTooLarge { .. } => 8,
        ClientFault::TooManyRequests { .. } => 9,
        ClientFault::TooManyStreams { .. } => 10,
        ClientFault::TooManyConnections { .. } => 11,
        ClientFault::StandaloneConflict => 12,
        ClientFault::UnknownStream(_) => 13,
        ClientFault::FutureEvent { .. } => 14,
        ClientFault::CancelledStream(_) => 15,
        ClientFault::ExpiredStream(_) => 16,
        ClientFault::TooManyCancelled { .. } => 17,
        _ => unreachable!("a fault that is not listed"),
    }
}

fn faults() -> Vec<ClientFault> {
    let stream = StreamId::Request(3);
    vec![
        ClientFault::NotInitialized,
        ClientFault::AlreadyInitialized,
        ClientFault::RequestIdInUse(RequestId::from(7)),
        ClientFault::ProgressTokenInUse(7.into()),
        ClientFault::BatchNotAllowed,
        ClientFault::BatchEmpty,
        ClientFault::BatchTooLong { max: 64 },
        ClientFault::InitializeInBatch,
        ClientFault::MessageTooLarge { max: 4_194_304 },
        ClientFault::TooManyRequests { max: 1_024 },
        ClientFault::TooManyCancelled { max: 1_024 },
        ClientFault::TooManyStreams { max: 1_024 },
        ClientFault::TooManyConnections { max: 1_024 },
        ClientFault::StandaloneConflict,
        ClientFault::UnknownStream(stream),
        ClientFault::FutureEvent { stream, last: 9 },
        ClientFault::CancelledStream(stream),
        ClientFault::ExpiredStream(stream),
    ]
}

fn errors() -> Vec<ManagerError> {
    let of_client = |fault| ManagerError::Session(SessionError::Rejected(Rejection::Client(fault)));
    let others = [
        ManagerError::NotFound,
        ManagerError::TooManySessions(100),
        ManagerError::TooManySessionsPerIp(10),
        ManagerError::TooManySessionsPerPrincipal(10),
        ManagerError::Closing,
        ManagerError::StoreAway,
        ManagerError::Moved,
        ManagerError::ClosedDuringInitialize(SessionCloseReason::InitializeTimeout),
        ManagerError::Open("No such file or directory".into()),
        ManagerError::Session(SessionError::QueueFull),
    ];
    // Resuming a cancelled stream gets 204.
    let refused = |fault: &ClientFault| !matches!(fault, ClientFault::CancelledStream(_));
    faults().into_iter().filter(refused).map(of_client).chain(others).collect()
}

async fn row(response: Response<ResponseBody>) -> String {
    let status = response.status().as_u16();
    let retry = response.headers().get(header::RETRY_AFTER);
    let retry = retry.map_or_else(String::new, |retry| format!("{} s", retry.to_str().unwrap()));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let (code, message) = code_and_message(&body);
    format!("| `{message}` | {status} | {code} | {retry} |\n")
}

fn code_and_message(body: &[u8]) -> (i64, String) {
    let value: Value = serde_json::from_slice(body).unwrap();
    let error = &value["error"];
    (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
}
