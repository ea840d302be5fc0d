//! Commits: what is recorded is sent once it is committed.

use rejoin_core::{ConcurrentGet, Config, Priming};

use crate::script::{check_live, check_pending};

pub(crate) fn config() -> Config {
    config! { commits: true }
}

/// A config with which every connection is primed.
pub(crate) fn primed() -> Config {
    config! { priming: Priming::Always, ..config() }
}

#[test]
fn nothing_is_sent_before_the_opening_is_committed() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 request 7
          commit 1: opened 0 with 7
          to backend: request 7
        > committed 1
          to 1: 0/0 priming
        > backend response 7
          commit 2: 1/0 response 7
          commit 3: completed 0
        > committed 3
          to 1: 1/0 response 7
          close 1: Complete
        ",
    );
}

#[test]
fn answer_before_the_commit_of_the_opening_is_sent_with_it() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 request 7
          commit 1: opened 0 with 7
          to backend: request 7
        > backend response 7
          commit 2: 1/0 response 7
          commit 3: completed 0
        > committed 3
          to 1: 0/0 priming
          to 1: 1/0 response 7
          close 1: Complete
        ",
    );
}

#[test]
fn whole_answer_waits_for_its_commit() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 json request 7
          commit 1: opened 0 with 7
          to backend: request 7
        > backend response 7
          commit 2: 1/0 response 7
          commit 3: completed 0
        > committed 1
        > committed 2
          answer 1: response 7
          close 1: Complete
        > ack 1 through 1
        commit 3: acknowledged 1/0
        > closed 1
        ",
    );
}

#[test]
fn commit_of_several_streams_sends_in_the_order_of_their_numbers() {
    check_pending(
        2,
        config(),
        "
        > get 3
        > backend progress u
          commit 3: 1/1 progress u
        > backend notification
          commit 4: 1 notification
        > backend progress t
          commit 5: 1/0 progress t
        > backend progress t
          commit 6: 2/0 progress t
        > committed 5
          to 3: 1 notification
          to 1: 1/0 progress t
          to 2: 1/1 progress u
        > committed 6
          to 1: 2/0 progress t
        ",
    );
}

#[test]
fn resume_gets_what_is_committed() {
    check_pending(
        1,
        config(),
        "
        > backend progress t
          commit 2: 1/0 progress t
        > backend progress t
          commit 3: 2/0 progress t
        > committed 2
          to 1: 1/0 progress t
        > get 2 after 0/0
          cut 1: Replaced
          to 2: 1/0 progress t
        > committed 3
          to 2: 2/0 progress t
        ",
    );
}

#[test]
fn resume_after_an_event_that_is_not_committed_is_rejected() {
    check_pending(
        1,
        config(),
        "
        > backend progress t
          commit 2: 1/0 progress t
        > get 2 after 1/0
          rejected: client: unknown event id: the last event of stream 0 has index 0
        > committed 1
        > get 2 after 1/0
          rejected: client: unknown event id: the last event of stream 0 has index 0
        > backend notification
          commit 3: 1 notification
        > get 2 after 1
          rejected: client: unknown event id: the last event of stream standalone has index 0
        > committed 2
          to 1: 1/0 progress t
        > get 2 after 1/0
          cut 1: Replaced
        ",
    );
}

#[test]
fn connection_that_takes_over_the_standalone_stream_gets_what_is_committed_later() {
    check_live(
        "2025-11-25",
        config! { concurrent_get: ConcurrentGet::TakeOver, ..config() },
        "
        > get 1
          to 1: 0 priming
        > ack 1 through 0
        > backend notification
          commit 1: 1 notification
        > get 2
        > committed 1
          to 2: 1 notification
        > ack 2 through 1
          commit 1: acknowledged 1
        ",
    );
}

#[test]
fn index_of_a_priming_event_comes_after_what_is_committed() {
    check_live(
        "2025-11-25",
        config(),
        "
        > get 1
          to 1: 0 priming
        > backend notification
          commit 1: 1 notification
        > committed 1
          to 1: 1 notification
        > closed 1 through 1
          commit 1: acknowledged 1
        > get 2
          to 2: 2 priming
        > backend notification
          commit 2: 3 notification
        > get 3 after 2
          discard 2
          commit 2: acknowledged 2
        > get 4 after 3
          rejected: client: unknown event id: the last event of stream standalone has index 2
        > committed 2
          to 3: 3 notification
        ",
    );
}

#[test]
fn event_that_is_evicted_before_its_commit_is_a_gap_at_its_commit() {
    check_live(
        "2025-11-25",
        config! { session_bytes_max: 700, ..config() },
        "
        > get 1
          to 1: 0 priming
        > ack 1 through 0
        > backend-evicting notification (300 bytes)
          commit 1: 1 notification (300 bytes)
        > backend-evicting notification (400 bytes)
          commit 2: 2 notification (400 bytes)
        > committed 1
          to 1: 1 gap 1..=1
        > committed 2
          to 1: 2 notification (400 bytes)
        ",
    );
}

#[test]
fn event_that_is_evicted_at_once_is_a_gap_that_waits_for_no_commit() {
    check_live(
        "2025-11-25",
        config! { session_bytes_max: 500, window_events_max: 1, ..config() },
        "
        > post 1 request 7 token t
          commit 1: opened 0 with 7
          to backend: request 7 token t
        > get 2
          to 2: 0 priming
        > ack 2 through 0
        > backend notification (300 bytes)
          commit 2: 1 notification (300 bytes)
        > committed 2
          to 2: 1 notification (300 bytes)
          to 1: 0/0 priming
        > backend-evicting progress t (300 bytes)
          commit 2: missed 1/0
        > ack 1 through 0
          to 1: 1/0 gap 1..=1
        > backend-evicting response 7 (300 bytes)
          report ResponseEvicted { stream: Request(0), id: 7 }
          commit 3: 2/0 failure 7 Evicted
          commit 4: completed 0
        > committed 4
        > ack 1 through 1
          to 1: 2/0 failure 7 Evicted
          close 1: Complete
        ",
    );
}

#[test]
fn session_that_drains_waits_for_commits() {
    check_pending(
        1,
        config(),
        "
        > backend response 7
          commit 2: 1/0 response 7
          commit 3: completed 0
        > drain 5s
        > +60min tick
        > committed 3
          to 1: 1/0 response 7
          close 1: Complete
        > ack 1 through 1
          commit 3: acknowledged 1/0
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn session_that_closes_does_not_wait_for_commits() {
    check_pending(
        1,
        config(),
        "
        > backend response 7
          commit 2: 1/0 response 7
          commit 3: completed 0
        > backend gone
          close 1: SessionClosed
          session closed: BackendGone
        ",
    );
}

#[test]
fn slow_commit_is_no_silence_of_the_reader() {
    check_pending(
        1,
        config(),
        "
        > committed 1
        > backend progress t
          commit 2: 1/0 progress t
        > +5min tick
        > committed 2
          to 1: 1/0 progress t
        > ack 1 through 1
        ",
    );
}

#[test]
fn cancellation_and_server_requests_are_committed() {
    check_live(
        "2025-03-26",
        config(),
        "
        > post 1 batch [request 7, request 8]
          commit 1: opened 0 with 7, 8
          to backend: request 7
          to backend: request 8
        > backend request a related 7
          commit 2: 1/0 request a related 7
        > committed 2
          to 1: 1/0 request a related 7
        > post response a
          commit 2: server request a ended
          to backend: response a
        > post cancelled 7
          to backend: cancelled 7
          commit 2: request 7 cancelled
        > backend request b
          commit 3: 1 request b
        > +10s tick
          commit 3: server request b ended, retracted
          fail b: Undelivered
        > post cancelled 8
          to backend: cancelled 8
          close 1: Cancelled
          commit 4: cancelled 0
        ",
    );
}

#[test]
fn token_of_a_task_is_committed() {
    check_pending(
        1,
        config(),
        "
        > backend response 7 creates task
          commit 2: 1/0 response 7 creates task
          commit 2: task \"t\"
          commit 3: completed 0
        ",
    );
}

#[test]
fn failures_of_a_session_that_closes_do_not_wait() {
    check_pending(
        1,
        config(),
        "
        > delete
          to 1: 1/0 failure 7 SessionClosed
          close 1: SessionClosed
          session closed: Deleted; pending 7
        > committed 9
        ",
    );
}

#[test]
fn revived_stream_does_not_wait() {
    check_pending(
        1,
        config! { retention: Some(std::time::Duration::ZERO), ..config() },
        "
        > backend response 7
          commit 2: 1/0 response 7
          commit 3: completed 0
        > closed 1
        > get 2 after 0/0
          to 2: 1/0 failure 7 Expired
          close 2: Complete
        > committed 3
        ",
    );
}

#[test]
fn commit_of_a_number_without_a_record_is_rejected() {
    check_pending(
        1,
        config(),
        "
        > committed 2
          rejected: driver: no record has the number 2
        > committed 1
        > committed 1
        ",
    );
    check_pending(
        1,
        Config::default(),
        "
        > committed 2
          rejected: driver: no record has the number 2
        > committed 1
        ",
    );
}

#[test]
fn commit_does_not_restart_the_idle_time() {
    check_live(
        "2025-11-25",
        config(),
        "
        > backend notification
          commit 1: 1 notification
        > +4min committed 1
        > +1min tick
          session closed: Idle
        ",
    );
}
