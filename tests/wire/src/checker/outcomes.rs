//! Outcomes: every request of a client has settled, and its outcome is justified.

use std::time::Duration;

use rejoin_core::Input;
use rejoin_tests::journal::Journal;
use rejoin_tests::kit::Coverage;
use rejoin_tests::kit::checker::{RequestFacts, check_outcome};
use tokio::time::Instant;

use super::history::History;
use crate::client_session::{ClientRequest, Observation, Record};

/// Maximum difference between the clocks of a client and its session.
const SLACK: Duration = Duration::from_millis(50);

/// Checks the outcomes of a session's requests; for the client, it began at `started_at`.
pub(super) fn check(
    history: &History,
    journal: &Journal,
    started_at: Instant,
    record: &Record,
    coverage: &mut Coverage,
) -> Result<(), String> {
    // The client does not count the POST with `initialize`.
    let posts = history.posts.saturating_sub(1);
    if posts < record.posts_accepted || posts > record.posts_sent {
        let (accepted, sent) = (record.posts_accepted, record.posts_sent);
        return Err(format!(
            "{accepted} of {sent} POSTs were accepted, but the session received {posts}"
        ));
    }
    let limits = |(_, input): &(_, Input<()>)| matches!(input, Input::LimitBytes { .. });
    let was_limited = journal.inputs.iter().any(limits);
    for request in record.requests.iter().filter(|request| !request.is_refused) {
        let Some((outcome, at)) = request.outcome else {
            return Err(format!("a request has not settled: {request:?}"));
        };
        if request.is_accepted && !history.streams.values().any(|ids| ids.contains(&request.id)) {
            return Err(format!(
                "a request was accepted, but never reached the session: {request:?}"
            ));
        }
        let closed = history.ended.filter(|closed| closed.after <= at - started_at + SLACK);
        let known = RequestFacts {
            config: &journal.config,
            age: at - request.sent_at,
            closed: closed.map(|closed| closed.reason),
            is_cancelled: request.is_cancelled,
            must_be_answered: request.must_be_answered,
            saw_id: saw_id(record, request),
            requests: history.requests,
            was_evicted: history.evicted.contains(&request.id),
            was_orphaned: history.orphaned.contains(&request.id),
            was_limited,
        };
        check_outcome(outcome, &known).map_err(|failure| format!("{failure}, {request:?}"))?;
        outcome.record(coverage);
        if request.must_be_answered {
            coverage.hit("requests: without faults");
        }
    }
    Ok(())
}

fn saw_id(record: &Record, request: &ClientRequest) -> bool {
    let observations =
        record.readers.get(request.reader).map(|reader| reader.observations.as_slice());
    observations.unwrap_or_default().iter().any(|observation| match observation {
        Observation::Priming { .. } => true,
        Observation::Message { id, .. } => id.is_some(),
        Observation::Gap(_)
        | Observation::Connected { .. }
        | Observation::Disconnected { .. }
        | Observation::Resumed
        | Observation::Relaxed => false,
    })
}
