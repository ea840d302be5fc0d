//! The window: how much may be unacknowledged, in events and in bytes.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::{check_live, check_pending};

/// Two messages of 308 bytes cost 1,000 bytes.
fn config() -> Config {
    Config { window_bytes_max: 1_000, stall_disconnect_timeout: None, ..Config::default() }
}

#[test]
fn window_bytes_max_limits_all_connections_together() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress t (308 bytes)
          to 1: 2/0 progress t (308 bytes)
        > backend progress t
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > backend progress u
        > ack 1 through 1
        > ack 1 through 2
          to 1: 3/0 progress t
        > ack 2 through 1
          to 2: 2/1 progress u
        ",
    );
}

#[test]
fn reader_behind_gets_nothing_before_it_acknowledges() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (808 bytes)
          to 1: 1/0 progress t (808 bytes)
        > backend progress u
          to 2: 1/1 progress u
        > backend progress u
        > ack 1 through 1
        > backend progress u
        > ack 2 through 1
          to 2: 2/1 progress u
          to 2: 3/1 progress u
        ",
    );
}

#[test]
fn replay_stops_at_the_window_in_bytes() {
    check_pending(
        1,
        config(),
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress t (308 bytes)
          to 1: 2/0 progress t (308 bytes)
        > backend progress t (9000 bytes)
        > backend progress t (308 bytes)
        > backend response 7
        > closed 1
        > get 2 after 0/0
          to 2: 1/0 progress t (308 bytes)
          to 2: 2/0 progress t (308 bytes)
        > ack 2 through 1
        > ack 2 through 2
          to 2: 3/0 progress t (9000 bytes)
        > ack 2 through 3
          to 2: 4/0 progress t (308 bytes)
          to 2: 5/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn events_without_cost_fit_beside_an_oversized_one() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 request 7 token t
          to 1: 0/0 priming
          to backend: request 7 token t
        > ack 1 through 0
        > backend progress t (9000 bytes)
          to 1: 1/0 progress t (9000 bytes)
        > disconnect 0 retry 3s
          to 1: 2/0 priming retry 3s
          close 1: Requested
        > get 2 after 1/0
          cut 1: Replaced
        > backend progress t (9000 bytes)
          to 2: 3/0 progress t (9000 bytes)
        > delete
          to 2: 4/0 failure 7 SessionClosed
          close 2: SessionClosed
          session closed: Deleted; pending 7
        ",
    );
}

#[test]
fn longest_silent_stopped_reader_is_cut_first() {
    let config = Config { stall_timeout_min: Duration::from_secs(2), ..config() };
    check_pending(
        4,
        config,
        "
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > +1s backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > +1s backend progress v (308 bytes)
          to 3: 1/2 progress v (308 bytes)
          cut 2: Stalled
        > +1s backend progress w (900 bytes)
          to 4: 1/3 progress w (900 bytes)
          cut 1: Stalled
        > +9s ack 3 through 1
        > get 5 after 0/1
          to 5: 1/1 progress u (308 bytes)
          cut 4: Stalled
        ",
    );
}

#[test]
fn reader_is_not_cut_within_twice_its_longest_pause() {
    check_pending(
        3,
        config(),
        "
        > backend progress t (600 bytes)
          to 1: 1/0 progress t (600 bytes)
        > +3s ack 1 through 0
        > +6s backend progress u (300 bytes)
          to 2: 1/1 progress u (300 bytes)
        > +1s backend progress v (300 bytes)
          to 3: 1/2 progress v (300 bytes)
          cut 1: Stalled
        ",
    );
}

#[test]
fn closing_a_connection_does_not_cut_another() {
    check_pending(
        1,
        config(),
        "
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > get 2
        > backend notification (100 bytes)
          to 2: 1 notification (100 bytes)
        > get 3
        > backend notification (600 bytes)
        > +9s ack 2 through 1
          to 2: 2 notification (600 bytes)
          cut 1: Stalled
        > get 4 after 0/0
          to 4: 1/0 progress t (700 bytes)
        > +9s closed 2
          to 3: 2 notification (600 bytes)
        ",
    );
}

#[test]
fn repeated_acknowledgement_counts_as_progress() {
    let config = Config {
        stall_timeout_min: Duration::from_secs(1),
        stall_timeout_max: Some(Duration::from_secs(10)),
        stall_disconnect_timeout: Some(Duration::from_secs(20)),
        ..Config::default()
    };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification (9000 bytes)
          to 1: 1 notification (9000 bytes)
        > +15s ack 1 through 0
        > +15s ack 1 through 0
        > +19s tick
        > +1s tick
          cut 1: Stalled
        ",
    );
}
