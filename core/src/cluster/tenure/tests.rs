//! Tests of tenures, call by call.

use alloc::{format, string::String, vec::Vec};

use super::*;

fn text(actions: &TenureActions) -> String {
    let text = actions.iter().map(|action| match action {
        TenureAction::Write { id, kind, creates } => {
            let how = if *creates { "create" } else { "write" };
            format!("{how} {id} {kind:?}")
        }
        TenureAction::Committed => "committed".into(),
        TenureAction::Trim { before } => format!("trim {before}"),
        TenureAction::Remove => "remove".into(),
        TenureAction::Ask => "ask".into(),
        TenureAction::Ended => "ended".into(),
        TenureAction::GiveUp { reason } => format!("give up: {reason:?}"),
    });
    text.collect::<Vec<_>>().join(", ")
}

/// Returns a session of epoch 3 whose entries 0 and 1 are written.
fn held() -> Tenure {
    let (mut tenure, actions) = Tenure::continue_in(3, EntryId { epoch: 2, number: 9 });
    assert_eq!(text(&actions), "write 3-1 Whole");
    let actions = tenure.on_answer(WriteOutcome::Written, 100);
    assert_eq!(text(&actions), "committed, trim 3-1");
    tenure
}

fn last(epoch: u64, number: u64) -> LastEntry {
    LastEntry { id: EntryId { epoch, number }, is_own: epoch == 3, is_closed: false }
}

#[test]
fn records_are_written_one_entry_at_a_time() {
    let (mut tenure, actions) = Tenure::begin();
    assert_eq!(text(&actions), "create 1-0 Whole");
    assert_eq!(text(&tenure.on_records(5)), "", "one is in flight");
    let actions = tenure.on_answer(WriteOutcome::Written, 100);
    assert_eq!(text(&actions), "committed, write 1-1 Records");
    assert_eq!(text(&tenure.on_answer(WriteOutcome::Written, 5)), "committed");
    assert_eq!(text(&tenure.on_answer(WriteOutcome::Written, 5)), "", "nothing is in flight");
    assert_eq!(text(&tenure.on_records(5)), "write 1-2 Records");
}

#[test]
fn a_long_log_is_replaced_by_a_whole_session() {
    for (whole, entries) in [(100, 3), (3 * RECORDS_BYTES_MAX / 2, 4)] {
        let (mut tenure, _) = Tenure::begin();
        tenure.on_answer(WriteOutcome::Written, whole);
        let is_records = |tenure: &mut Tenure| {
            let is_records = text(&tenure.on_records(1)).ends_with("Records");
            tenure.on_answer(WriteOutcome::Written, RECORDS_BYTES_MAX / 2);
            is_records
        };
        let before = (0..9).take_while(|_| is_records(&mut tenure)).count();
        assert_eq!(before, entries, "{whole}");
    }
    let mut tenure = held();
    tenure.on_records(1);
    tenure.on_records(Tenure::PENDING_BYTES_MAX + 1);
    let actions = tenure.on_answer(WriteOutcome::Written, 1);
    assert_eq!(text(&actions), "committed, write 3-3 Whole");
}

#[test]
fn a_doubt_is_decided_by_the_last_entry() {
    let closed = |epoch| LastEntry { is_closed: true, ..last(epoch, 0) };
    let of_other = |number| LastEntry { is_own: false, ..last(3, number) };
    for (last, held_lease, expected) in [
        (Some(last(3, 2)), true, "committed"),
        (Some(last(3, 1)), true, "write 3-3 Whole"),
        (Some(last(3, 2)), false, "committed, write 4-0 Records"),
        (Some(last(3, 1)), false, "write 4-0 Whole"),
        (Some(last(2, 9)), true, "write 3-3 Whole"),
        (Some(last(2, 9)), false, "write 4-0 Whole"),
        (Some(last(2, 10)), true, "give up: TakenOver"),
        (Some(last(3, 1)), true, "write 3-3 Whole"),
        (Some(last(3, 3)), true, "give up: TakenOver"),
        (Some(of_other(1)), true, "give up: TakenOver"),
        (Some(of_other(2)), true, "give up: TakenOver"),
        (Some(last(4, 0)), true, "give up: TakenOver"),
        (Some(closed(4)), true, "give up: Closed"),
        (Some(closed(2)), true, "give up: Closed"),
        (None, true, "create 3-3 Whole"),
        (None, false, "create 3-3 Whole"),
        (None, false, "create 3-3 Whole"),
    ] {
        let mut tenure = held();
        tenure.on_records(5);
        tenure.on_disconnect();
        assert!(tenure.is_in_doubt());
        assert_eq!(text(&tenure.on_answer(WriteOutcome::Written, 5)), "", "too late");
        assert_eq!(text(&tenure.on_last_entry(last, held_lease)), "", "not asked for");
        assert_eq!(text(&tenure.on_connect()), "ask");
        let actions = tenure.on_last_entry(last, held_lease);
        assert_eq!(text(&actions), expected, "{last:?} {held_lease}");
        let was_written = text(&tenure.on_answer(WriteOutcome::Written, 5));
        assert_eq!(was_written.is_empty(), !expected.contains('-'), "{expected}");
        assert!(!tenure.is_in_doubt());
    }
}

#[test]
fn a_doubt_without_an_entry_in_flight_goes_on_as_before() {
    let mut tenure = held();
    tenure.on_disconnect();
    assert_eq!(text(&tenure.on_records(5)), "");
    tenure.on_connect();
    tenure.on_disconnect();
    assert_eq!(text(&tenure.on_connect()), "ask", "again");
    let actions = tenure.on_last_entry(Some(last(3, 1)), true);
    assert_eq!(text(&actions), "write 3-2 Records");
    assert!(!tenure.is_in_doubt());
}

#[test]
fn a_process_whose_lease_has_expired_claims_its_session_again() {
    let mut tenure = held();
    tenure.on_disconnect();
    tenure.on_connect();
    let actions = tenure.on_last_entry(Some(last(3, 1)), false);
    assert_eq!(text(&actions), "write 4-0 Records");
    assert!(tenure.is_in_doubt(), "another process may claim the epoch, too");
    assert_eq!(text(&tenure.clone().on_answer(WriteOutcome::Written, 0)), "committed");
    assert_eq!(text(&tenure.on_answer(WriteOutcome::Refused, 0)), "ask");
    let claimed =
        LastEntry { id: EntryId { epoch: 4, number: 0 }, is_own: false, is_closed: false };
    let actions = tenure.on_last_entry(Some(claimed), true);
    assert_eq!(text(&actions), "give up: TakenOver");
}

#[test]
fn a_refused_entry_is_a_doubt() {
    for outcome in [WriteOutcome::Refused, WriteOutcome::Missing] {
        let mut tenure = held();
        tenure.on_records(5);
        assert_eq!(text(&tenure.on_answer(outcome, 5)), "ask");
        assert!(tenure.is_in_doubt());
    }
}

#[test]
fn a_session_that_is_closed_while_it_is_released_is_closed_in_the_store() {
    let mut tenure = held();
    assert_eq!(text(&tenure.end(false)), "write 3-2 Released");
    assert_eq!(text(&tenure.end(true)), "");
    let actions = tenure.on_answer(WriteOutcome::Written, 10);
    assert_eq!(text(&actions), "committed, write 3-3 Closed");
}

#[test]
fn a_full_store_does_not_keep_a_session_that_is_closed() {
    for (last, held_lease, expected) in [
        (last(3, 1), true, "remove, ended"),
        (last(4, 0), true, "give up: TakenOver"),
        (last(3, 1), false, "write 4-0 Closed"),
    ] {
        let mut tenure = held();
        tenure.end(true);
        assert_eq!(text(&tenure.on_answer(WriteOutcome::Full, 10)), "ask");
        assert_eq!(text(&tenure.on_last_entry(Some(last), held_lease)), expected);
        assert_eq!(tenure.is_over(), held_lease, "{expected}");
    }
}

#[test]
fn a_full_store_gets_the_whole_session_later() {
    let mut tenure = held();
    tenure.on_records(5);
    assert_eq!(text(&tenure.on_answer(WriteOutcome::Full, 5)), "");
    assert!(tenure.is_in_doubt(), "nothing may be accepted");
    assert_eq!(text(&tenure.on_records(5)), "");
    assert_eq!(text(&tenure.retry()), "write 3-3 Whole");
    assert_eq!(text(&tenure.retry()), "", "it is in flight");
    assert!(tenure.is_in_doubt(), "it may have no room again");
    assert_eq!(text(&tenure.on_answer(WriteOutcome::Written, 9)), "committed, trim 3-3");
    assert!(!tenure.is_in_doubt());
}

#[test]
fn the_log_of_a_session_that_no_other_process_has_had_is_removed() {
    let (mut tenure, _) = Tenure::begin();
    tenure.on_answer(WriteOutcome::Written, 5);
    assert_eq!(text(&tenure.end(true)), "write 1-1 Closed");
    let actions = tenure.on_answer(WriteOutcome::Written, 5);
    assert_eq!(text(&actions), "committed, remove, ended");
}

#[test]
fn a_session_ends_after_its_records() {
    for (is_closed, kind, end) in
        [(true, "Closed", "trim 3-3, ended"), (false, "Released", "ended")]
    {
        let mut tenure = held();
        tenure.on_records(5);
        assert_eq!(text(&tenure.end(is_closed)), "");
        let actions = tenure.on_answer(WriteOutcome::Written, 5);
        assert_eq!(text(&actions), format!("committed, write 3-3 {kind}"));
        let actions = tenure.on_answer(WriteOutcome::Written, 5);
        assert_eq!(text(&actions), format!("committed, {end}"));
        assert_eq!(text(&tenure.on_records(5)), "");
        tenure.on_disconnect();
        assert!(!tenure.is_in_doubt());
    }
}

#[test]
fn an_end_that_was_lost_is_written_again() {
    for (is_closed, last, expected) in [
        (true, Some(last(3, 1)), "write 3-3 Closed"),
        (true, None, "ended"),
        (false, Some(last(3, 1)), "write 3-3 Whole"),
        (false, None, "create 3-3 Whole"),
    ] {
        let mut tenure = held();
        tenure.end(is_closed);
        tenure.on_disconnect();
        tenure.on_connect();
        assert_eq!(text(&tenure.on_last_entry(last, true)), expected);
        if !is_closed {
            let actions = tenure.on_answer(WriteOutcome::Written, 9);
            assert_eq!(text(&actions), "committed, trim 3-3, write 3-4 Released");
        }
    }
}
