//! How connections are closed for the backend, and when readers are slow.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn a_client_polls_as_it_is_told() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > backend log related 7
          to 1: 1/0 log related 7
        > close_stream 0 retry 1s
          to 1: 2/0 priming retry 1s
          end 1: Requested
        > backend response 7
        > close_stream 0 retry 1s
          rejected: caller: stream 0 is not open
        > closed 1 through 2
        > get 2 after 2/0
          to 2: 3/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn a_stream_without_a_connection_needs_no_closing() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > closed 1 through 0
        > close_stream 0 retry 1s
        > close_stream 1 retry 1s
          rejected: caller: stream 1 is not open
        ",
    );
}

#[test]
fn a_client_that_could_not_come_back_stays_connected() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > close_stream 0 retry 1s
          rejected: caller: the client of stream 0 has no event id to resume from
        > backend progress t
          to 1: 1/0 progress t
        > close_stream 0 retry 1s
          end 1: Requested
        ",
    );
}

#[test]
fn a_full_window_leaves_no_place_for_a_priming_event() {
    let config = Config { window_events_max: 1, ..Config::default() };
    check_live(
        "2025-11-25",
        config,
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > close_stream 0 retry 1s
          end 1: Requested
        ",
    );
}

#[test]
fn a_reader_that_takes_nothing_is_cut_after_the_stall_limit() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > +5min backend progress t
          to 1: 1/0 progress t
        > +59s backend progress t
          to 1: 2/0 progress t
        > +1s tick
          end 1: Stalled
        > backend response 7
        > get 2 after 0/0
          to 2: 1/0 progress t
          to 2: 2/0 progress t
          to 2: 3/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn whoever_takes_something_has_the_time_anew() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          to 1: 2/0 progress t
        > +59s taken 1 through 1
        > +59s tick
        > +1s tick
          end 1: Stalled
        ",
    );
}

#[test]
fn a_draining_connection_is_cut_too() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          end 1: Complete
        > +59s tick
        > +1s tick
          end 1: Stalled
        ",
    );
}

#[test]
fn a_draining_connection_that_holds_nothing_is_cut_after_the_stall_limit() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          end 1: Complete
        > +59s taken 1 through 1
        > get 2
        > +1s close_stream standalone
          end 2: Requested
        > +58s tick
        > +1s tick
          end 1: Stalled
        > +1s tick
          end 2: Stalled
        > +299s tick
        > +1s tick
          close session: Idle
        ",
    );
}

#[test]
fn a_draining_connection_whose_events_were_discarded_is_cut_after_the_stall_limit() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > close_stream standalone
          end 1: Requested
        > +5s get 2
          discard 1
          to 2: replay 1 notification
        > taken 2 through 1
        > +59s tick
        > +1s tick
          end 1: Stalled
        ",
    );
}

#[test]
fn without_a_stall_timeout_only_the_limit_counts() {
    let config = Config {
        stall_timeout_max: None,
        stall_disconnect_timeout: Some(Duration::from_secs(1)),
        ..Config::default()
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          end 1: Complete
        > +1s tick
          end 1: Stalled
        ",
    );
}

#[test]
fn what_is_said_of_an_unknown_connection_means_nothing() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > taken 9 through 9
        > closed 9 through 9
        > closed 9
        ",
    );
}
