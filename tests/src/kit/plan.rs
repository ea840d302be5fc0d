//! The plan of a backend: its actions for a request, and when.

use std::collections::VecDeque;
use std::time::Duration;

use super::parameters::RESPONSE_DELAY_MAX;
use super::{Coverage, Fault, Faults, Rng};

/// An action of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendAction {
    /// The response to `initialize`.
    Initialized,
    /// A progress notification of the request.
    Progress,
    /// A log notification.
    Log,
    /// Another notification.
    Notification,
    /// A server request.
    ServerRequest,
    /// The response.
    Response,
    /// A second response to the same request.
    DuplicateResponse,
    /// An error response.
    ErrorResponse,
    /// A response to a request that was never made.
    UnknownResponse,
    /// Disconnects the stream, so that its client polls.
    Disconnect,
    /// The backend exits.
    Exit,
}

/// The actions that precede a response, and those that belong to no request.
const RELATED: [BackendAction; 6] = [
    BackendAction::Progress,
    BackendAction::Progress,
    BackendAction::Progress,
    BackendAction::Log,
    BackendAction::Notification,
    BackendAction::ServerRequest,
];
const UNRELATED: [BackendAction; 4] = [
    BackendAction::Notification,
    BackendAction::Notification,
    BackendAction::Log,
    BackendAction::ServerRequest,
];

/// Plans the action for a request `initialize`, with its delay.
pub fn plan_initialize(
    actions: &mut VecDeque<(Duration, BackendAction)>,
    rng: &mut Rng,
    faults: &Faults,
    coverage: &mut Coverage,
) {
    if rng.chance(faults.rate(Fault::NoResponse)) {
        coverage.hit_fault(Fault::NoResponse);
        return;
    }
    let exits = rng.chance(faults.rate(Fault::BackendExit));
    let fails = rng.chance(faults.rate(Fault::UnknownResponse));
    let action = match (exits, fails) {
        (true, _) => BackendAction::Exit,
        (false, true) => BackendAction::ErrorResponse,
        (false, false) => BackendAction::Initialized,
    };
    actions.push_back((rng.millis(0, 300), action));
}

/// Plans messages that belong to no request, each with its delay.
pub fn plan_unrelated(
    actions: &mut VecDeque<(Duration, BackendAction)>,
    rng: &mut Rng,
    faults: &Faults,
    coverage: &mut Coverage,
) {
    plan_messages(actions, rng, faults, coverage, &UNRELATED);
}

fn plan_messages(
    actions: &mut VecDeque<(Duration, BackendAction)>,
    rng: &mut Rng,
    faults: &Faults,
    coverage: &mut Coverage,
    messages: &[BackendAction],
) {
    let (count, longest) = if rng.chance(faults.rate(Fault::MessageBurst)) {
        coverage.hit_fault(Fault::MessageBurst);
        (rng.size(8, 40), 1)
    } else {
        (rng.size(0, 3), if messages.len() == UNRELATED.len() { 4_000 } else { 600 })
    };
    for _ in 0..count {
        let action = rng.choose(messages).unwrap_or(BackendAction::Notification);
        actions.push_back((rng.millis(0, longest), action));
    }
    if rng.chance(faults.rate(Fault::Disconnect)) {
        actions.push_back((rng.millis(0, longest), BackendAction::Disconnect));
    }
    if actions.is_empty() {
        actions.push_back((rng.millis(0, 1_000), BackendAction::Notification));
    }
}

/// Plans the actions for a request, each with its delay.
pub fn plan_response(
    actions: &mut VecDeque<(Duration, BackendAction)>,
    rng: &mut Rng,
    faults: &Faults,
    coverage: &mut Coverage,
) {
    if rng.chance(800) {
        plan_messages(actions, rng, faults, coverage, &RELATED);
    }
    if rng.chance(faults.rate(Fault::BackendExit)) {
        actions.push_back((rng.millis(0, 100), BackendAction::Exit));
    }
    if rng.chance(faults.rate(Fault::UnknownResponse)) {
        actions.push_back((rng.millis(0, 100), BackendAction::UnknownResponse));
    }
    if rng.chance(faults.rate(Fault::NoResponse)) {
        coverage.hit_fault(Fault::NoResponse);
        return;
    }
    let delay = if rng.chance(faults.rate(Fault::LateResponse)) {
        coverage.hit_fault(Fault::LateResponse);
        rng.duration(Duration::from_secs(3), RESPONSE_DELAY_MAX)
    } else {
        rng.millis(0, 800)
    };
    let response =
        if rng.chance(100) { BackendAction::ErrorResponse } else { BackendAction::Response };
    actions.push_back((delay, response));
    if rng.chance(faults.rate(Fault::DuplicateResponse)) {
        actions.push_back((rng.millis(0, 2_000), BackendAction::DuplicateResponse));
    }
    if rng.chance(100) {
        // Progress of a request that was already answered.
        actions.push_back((rng.millis(0, 500), BackendAction::Progress));
    }
}
