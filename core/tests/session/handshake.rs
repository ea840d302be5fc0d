//! The handshake: `initialize`, its answer, and what comes before it.

use std::time::Duration;

use rejoin_core::{Config, Priming};

use crate::script::{check, check_live};

#[test]
fn the_answer_is_matched_by_its_id_and_not_by_coming_first() {
    check(
        Config::default(),
        "
        > post 1 initialize 7
          to backend: initialize 7
        > backend log
        > backend response 8
          report Undeliverable { id: Some(8), reason: UnknownRequest }
        > backend response 7 version 2025-06-18
          to 1: whole response 7 version 2025-06-18
          end 1: Complete
        > closed 1 through 1
        > get 2
          to 2: replay 1 log
        ",
    );
}

#[test]
fn a_request_of_the_backend_before_the_answer_fails_at_once() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend request q1
          fail q1: Undelivered
        > backend request q1
          fail q1: Undelivered
        > backend response 0 version 2025-06-18
          to 1: whole response 0 version 2025-06-18
          end 1: Complete
        > closed 1 through 1
        > get 2
        > backend request q1
          to 2: 1 request q1
        ",
    );
}

#[test]
fn whatever_else_comes_first_ends_the_session() {
    for first in [
        "post 1 request 7",
        "post 1 ping 7",
        "get 1",
        "post notification",
        "post 1 batch [initialize 1]",
    ] {
        let script = format!("> {first}\nclose session: ExpectedInitialize\n> tick");
        check(Config::default(), &script);
    }
}

#[test]
fn only_ping_may_come_before_the_answer() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > post 2 request 1
          rejected: client: the session is not initialized yet
        > post notification
          rejected: client: the session is not initialized yet
        > get 2
          rejected: client: the session is not initialized yet
        > reserve 2
          rejected: caller: the session is not initialized yet
        > post 2 initialize 1
          rejected: client: the session is initialized already
        > post 2 ping 0
          rejected: client: the request id 0 is in use
        > post 2 ping 1
          to backend: ping 1
        > backend response 1
          to 2: 1/0 response 1
          end 2: Complete
        ",
    );
}

#[test]
fn initialize_takes_no_stream_number_and_cannot_come_twice() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 1
          to backend: request 1
        > backend response 1
          to 1: 1/0 response 1
          end 1: Complete
        > post 2 initialize 2
          rejected: client: the session is initialized already
        ",
    );
}

#[test]
fn an_error_leaves_no_session_behind() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend error 0
          to 1: whole error 0
          end 1: Complete
          close session: InitializeRejected
        > post 2 request 1
          rejected: nobody: the session is closed: InitializeRejected
        > closed 1 through 1
        ",
    );
}

#[test]
fn a_client_that_leaves_before_the_answer_leaves_no_session_behind() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > closed 1
          close session: InitializeUnacknowledged
        ",
    );
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend response 0 version 2025-06-18
          to 1: whole response 0 version 2025-06-18
          end 1: Complete
        > closed 1
          close session: InitializeUnacknowledged
        ",
    );
}

#[test]
fn a_client_that_uses_the_session_had_the_answer_to_initialize() {
    for used in [
        "post notification\nto backend: notification",
        "get 2",
        "post 2 request 1\nto backend: request 1",
    ] {
        for end in ["closed 1", "+60s tick\nend 1: Stalled"] {
            check(
                Config::default(),
                &format!(
                    "
                    > post 1 initialize 0
                      to backend: initialize 0
                    > backend response 0 version 2025-06-18
                      to 1: whole response 0 version 2025-06-18
                      end 1: Complete
                    > {used}
                    > {end}
                    "
                ),
            );
        }
    }
}

#[test]
fn a_driver_that_reserves_too_early_does_no_harm() {
    check(
        Config::default(),
        "
        > reserve 1
          rejected: caller: the session is not initialized yet
        > post 1 initialize 0
          to backend: initialize 0
        ",
    );
}

#[test]
fn a_client_that_does_not_read_the_answer_leaves_no_session_behind() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend response 0 version 2025-06-18
          to 1: whole response 0 version 2025-06-18
          end 1: Complete
        > +60s tick
          end 1: Stalled
          close session: InitializeUnacknowledged
        ",
    );
}

#[test]
fn the_answer_must_come_within_a_minute_of_creation() {
    check(
        Config::default(),
        "
        > +59s post 1 initialize 0
          to backend: initialize 0
        > +999ms tick
        > +1ms tick
          to 1: whole failure 0 SessionClosed
          end 1: SessionClosed
          close session: InitializeTimeout
        ",
    );
    check(Config::default(), "> +60s tick\nclose session: InitializeTimeout");
    let patient = Config { init_timeout: None, ..Config::default() };
    check(patient, "> +60min post 1 initialize 0\nto backend: initialize 0");
}

#[test]
fn the_negotiated_revision_says_whether_streams_are_primed() {
    let post = "> post 1 request 1\n";
    let primed = "to 1: 0/0 priming\nto backend: request 1";
    for (revision, expected) in [
        ("2024-11-05", "to backend: request 1"),
        ("2025-03-26", "to backend: request 1"),
        ("2025-06-18", "to backend: request 1"),
        ("2025-11-25", primed),
        ("2030-01-01", primed),
    ] {
        check_live(revision, Config::default(), &format!("{post}{expected}"));
    }
    let always = Config { priming: Priming::Always, ..Config::default() };
    check_live("2025-03-26", always, &format!("{post}{primed}"));
    let never = Config { priming: Priming::Never, ..Config::default() };
    check_live("2025-11-25", never, &format!("{post}to backend: request 1"));
}

#[test]
fn a_too_large_initialize_is_rejected_and_the_session_goes_on() {
    let config = Config {
        message_bytes_max: 10,
        init_timeout: Some(Duration::from_secs(1)),
        ..Config::default()
    };
    check(
        config,
        "
        > post 1 initialize 0 (11 bytes)
          rejected: client: the message is larger than 10 bytes
        > post 1 initialize 0 (10 bytes)
          to backend: initialize 0 (10 bytes)
        ",
    );
}

#[test]
fn a_too_large_answer_is_a_rejection() {
    let config = Config { message_bytes_max: 10, ..Config::default() };
    check(
        config,
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend response 0 (11 bytes)
          to 1: whole failure 0 Evicted
          end 1: Complete
          close session: InitializeRejected
        ",
    );
}
