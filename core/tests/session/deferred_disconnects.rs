//! Disconnects that wait until what their streams have is committed.

use crate::{
    commits::{config, primed},
    script::{check_live, check_pending},
};

#[test]
fn disconnect_waits_for_the_opening() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 request 7
          commit 1: opened 0 with 7
          to backend: request 7
        > disconnect 0 retry 5s
        > disconnect 0
        > committed 1
          to 1: 0/0 priming
          to 1: 1/0 priming retry 5s
          close 1: Requested
        > backend response 7
          commit 2: 2/0 response 7
          commit 3: completed 0
        > committed 3
        > get 2 after 1/0
          cut 1: Replaced
          to 2: 2/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn disconnect_waits_for_the_last_event_and_no_longer() {
    check_pending(
        1,
        primed(),
        "
        > committed 1
          to 1: 0/0 priming
        > backend progress t
          commit 2: 1/0 progress t
        > disconnect 0
        > backend progress t
          commit 3: 2/0 progress t
        > committed 2
          to 1: 1/0 progress t
          close 1: Requested
        > get 2 after 1/0
          cut 1: Replaced
        > committed 3
          to 2: 2/0 progress t
        ",
    );
}

#[test]
fn what_is_recorded_after_a_disconnect_does_not_displace_its_retry() {
    check_pending(
        1,
        primed(),
        "
        > committed 1
          to 1: 0/0 priming
        > backend progress t
          commit 2: 1/0 progress t
        > disconnect 0 retry 5s
        > backend progress t
          commit 3: 3/0 progress t
        > backend progress t
          commit 4: 4/0 progress t
        > committed 2
          to 1: 1/0 progress t
          to 1: 2/0 priming retry 5s
          close 1: Requested
        > get 2 after 3/0
          rejected: client: unknown event id: the last event of stream 0 has index 2
        > get 2 after 2/0
          cut 1: Replaced
        > committed 4
          to 2: 3/0 progress t
          to 2: 4/0 progress t
        ",
    );
}

#[test]
fn what_is_committed_with_a_disconnect_is_sent_to_the_client_that_comes_back() {
    check_pending(
        1,
        primed(),
        "
        > committed 1
          to 1: 0/0 priming
        > backend progress t
          commit 2: 1/0 progress t
        > disconnect 0 retry 5s
        > backend-evicting progress t
          commit 3: 3/0 progress t
        > get 2 after 2/0
          rejected: client: unknown event id: the last event of stream 0 has index 0
        > committed 3
          to 1: 1/0 progress t
          to 1: 2/0 priming retry 5s
          close 1: Requested
        > get 2 after 2/0
          cut 1: Replaced
          to 2: 3/0 progress t
        ",
    );
}

#[test]
fn gap_after_a_deferred_disconnect_is_sent_to_the_client_that_comes_back() {
    check_pending(
        1,
        config! { session_bytes_max: 700, ..primed() },
        "
        > committed 1
          to 1: 0/0 priming
        > backend notification related 7 (300 bytes)
          commit 2: 1/0 notification related 7 (300 bytes)
        > committed 2
          to 1: 1/0 notification related 7 (300 bytes)
        > backend notification related 7
          commit 3: 2/0 notification related 7
        > disconnect 0 retry 5s
        > backend-evicting notification related 7 (300 bytes)
          commit 3: missed 4/0
        > committed 3
          to 1: 2/0 gap 2..=2
          to 1: 3/0 priming retry 5s
          close 1: Requested
        > get 2 after 3/0
          cut 1: Replaced
          to 2: 4/0 gap 4..=4
        ",
    );
}

/// Without `logging`, no client gets the id of a gap.
#[test]
fn deferred_disconnect_of_a_client_that_gets_only_a_gap_has_no_effect() {
    check_pending(
        1,
        config! { session_bytes_max: 700, ..config() },
        "
        > committed 1
        > backend progress t (300 bytes)
          commit 2: 1/0 progress t (300 bytes)
        > disconnect 0
        > backend-evicting progress t (400 bytes)
          commit 3: 2/0 progress t (400 bytes)
        > committed 2
          to 1: 1/0 gap 1..=1
        > disconnect 0
        > committed 3
          to 1: 2/0 progress t (400 bytes)
          close 1: Requested
        ",
    );
}

#[test]
fn deferred_disconnect_of_a_reader_that_is_behind_has_no_retry() {
    check_pending(
        1,
        config! { window_events_max: 1, ..primed() },
        "
        > committed 1
          to 1: 0/0 priming
        > backend progress t
          commit 2: 1/0 progress t
        > disconnect 0 retry 5s
        > backend progress t
          commit 3: 3/0 progress t
        > committed 2
          close 1: Requested
        > get 2 after 0/0
          cut 1: Replaced
          to 2: 1/0 progress t
        > committed 3
        > ack 2 through 1
          to 2: 3/0 progress t
        ",
    );
}

#[test]
fn disconnect_is_dropped_when_the_client_has_come_back() {
    check_pending(
        1,
        primed(),
        "
        > committed 1
          to 1: 0/0 priming
        > backend progress t
          commit 2: 1/0 progress t
        > disconnect 0 retry 5s
        > get 2 after 0/0
          cut 1: Replaced
        > backend progress t
          commit 3: 2/0 progress t
        > committed 3
          to 2: 1/0 progress t
          to 2: 2/0 progress t
        ",
    );
    check_pending(
        1,
        primed(),
        "
        > committed 1
          to 1: 0/0 priming
        > backend progress t
          commit 2: 1/0 progress t
        > disconnect 0 retry 5s
        > closed 1 through 0
        > backend progress t
          commit 3: 2/0 progress t
        > get 2 after 0/0
        > committed 3
          to 2: 1/0 progress t
          to 2: 2/0 progress t
        ",
    );
}

#[test]
fn disconnect_is_dropped_once_the_stream_is_complete() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 request 7
          commit 1: opened 0 with 7
          to backend: request 7
        > disconnect 0 retry 5s
        > backend response 7
          commit 2: 2/0 response 7
          commit 3: completed 0
        > committed 1
          to 1: 0/0 priming
        > committed 3
          to 1: 2/0 response 7
          close 1: Complete
        ",
    );
}

#[test]
fn disconnect_of_a_client_without_an_event_id_waits_for_one() {
    check_live(
        "2025-06-18",
        config(),
        "
        > post 1 json request 7 token t
          commit 1: opened 0 with 7
          to backend: request 7 token t
        > disconnect 0 retry 5s
          rejected: driver: the client of stream 0 has no event id to resume after
        > backend progress t
          commit 2: 1/0 progress t
        > disconnect 0 retry 5s
        > committed 1
        > committed 2
          to 1: 1/0 progress t
          close 1: Requested
        ",
    );
}

#[test]
fn client_without_an_event_id_is_disconnected_with_the_retry() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 json request 7 token t
          commit 1: opened 0 with 7
          to backend: request 7 token t
        > disconnect 0
          rejected: driver: the client of stream 0 has no event id to resume after
        > disconnect 0 retry 5s
        > backend progress t
          commit 2: 2/0 progress t
        > committed 1
          to 1: 1/0 priming retry 5s
          close 1: Requested
        > committed 2
        > get 2 after 1/0
          cut 1: Replaced
          to 2: 2/0 progress t
        ",
    );
}
