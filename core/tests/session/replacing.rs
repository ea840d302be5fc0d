//! Sessions that replace an earlier one, whose event ids clients may still use.

use rejoin_core::Config;

use crate::script::Run;

fn check_replacing(script: &str) {
    Run::live_replacing(1_000, Config::default()).check(script);
}

#[test]
fn numbers_begin_at_the_origin() {
    check_replacing(
        "
        > get 1
          to 1: 1001 priming
        > backend log
          to 1: 1002 log
        > post 2 request 7
          to 2: 0/1000 priming
          to backend: request 7
        > post 3 request 8
          to 3: 0/1001 priming
          to backend: request 8
        ",
    );
}

#[test]
fn standalone_events_of_the_earlier_session_are_a_gap() {
    check_replacing(
        "
        > backend log
        > get 1 after 5
          to 1: 1000 gap 1000..=1000
          to 1: 1001 log
        ",
    );
}

#[test]
fn request_streams_of_the_earlier_session_have_expired() {
    check_replacing(
        "
        > get 1 after 3/0
          rejected: client: stream 0 has expired
        > get 1 after 3/999
          rejected: client: stream 999 has expired
        > get 1 after 3/1000
          rejected: client: this session has no stream 1000
        ",
    );
}
