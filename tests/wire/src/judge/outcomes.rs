//! Outcomes: every request of a client has settled, and something explains how.

use std::time::Duration;

use rejoin_tests::journal::Journal;
use rejoin_tests::world::Tally;
use rejoin_tests::world::witness::{Circumstances, explain};
use tokio::time::Instant;

use super::history::History;
use crate::visit::{Call, Record, Seen};

/// By how much a client's clock and its server's may differ within one session.
const SLACK: Duration = Duration::from_millis(50);

/// Checks how the requests of a session that `began` for its client then ended.
pub(super) fn check(
    history: &History,
    journal: &Journal,
    began: Instant,
    record: &Record,
    tally: &mut Tally,
) -> Result<(), String> {
    // The one with `initialize` is not counted by the client.
    let posts = history.posts.saturating_sub(1);
    if posts < record.accepted || posts > record.sent {
        let (accepted, sent) = (record.accepted, record.sent);
        return Err(format!(
            "of {sent} POSTs {accepted} were accepted, but the session had {posts}"
        ));
    }
    for call in record.calls.iter().filter(|call| !call.is_refused) {
        let Some((outcome, at)) = call.outcome else {
            return Err(format!("a request has not settled: {call:?}"));
        };
        if call.is_accepted && !history.streams.values().any(|ids| ids.contains(&call.id)) {
            return Err(format!("a request was accepted, and never came to the session: {call:?}"));
        }
        let closed = history.closed.filter(|closed| closed.after <= at - began + SLACK);
        let known = Circumstances {
            config: &journal.config,
            age: at - call.sent_at,
            closed: closed.map(|closed| closed.reason),
            is_given_up: call.is_given_up,
            is_due: call.is_due,
            saw_id: saw_id(record, call),
            requests: history.requests,
            was_evicted: history.evicted.contains(&call.id),
            was_orphaned: history.orphaned.contains(&call.id),
        };
        explain(outcome, &known).map_err(|wrong| format!("{wrong}, {call:?}"))?;
        outcome.count(tally);
        if call.is_due {
            tally.add("requests: due");
        }
    }
    Ok(())
}

fn saw_id(record: &Record, call: &Call) -> bool {
    let seen = record.readings.get(call.reading).map(|reading| reading.seen.as_slice());
    seen.unwrap_or_default().iter().any(|seen| match seen {
        Seen::Priming { id, .. } | Seen::Message { id, .. } => id.is_some(),
        Seen::Gap(_) | Seen::Began { .. } | Seen::Ended { .. } | Seen::Resumed | Seen::Doubted => {
            false
        }
    })
}
