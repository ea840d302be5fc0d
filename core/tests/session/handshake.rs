//! The handshake: `initialize`, its response, and inputs before it.

use std::time::Duration;

use rejoin_core::{Config, Priming};

use crate::script::{check, check_live};

#[test]
fn initialize_response_is_matched_by_its_id() {
    check(
        Config::default(),
        "
        > post 1 initialize 7
          to backend: initialize 7
        > backend log
        > backend response 8
          report Undeliverable { id: Some(8), reason: UnknownRequest }
        > backend response 7 version 2025-06-18
          answer 1: response 7 version 2025-06-18
          close 1: Complete
        > closed 1 through 1
        > get 2
          to 2: 1 log
        ",
    );
}

#[test]
fn server_request_before_initialization_fails() {
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
          answer 1: response 0 version 2025-06-18
          close 1: Complete
        > closed 1 through 1
        > get 2
        > backend request q1
          to 2: 1 request q1
        ",
    );
}

#[test]
fn first_input_other_than_initialize_closes_the_session() {
    for first in [
        "post 1 request 7",
        "post 1 ping 7",
        "get 1",
        "post notification",
        "post 1 batch [initialize 1]",
    ] {
        let script = format!(
            "> {first}\nsession closed: ExpectedInitialize\n\
             rejected: the session was closed: its first message was not `initialize`\n> tick"
        );
        check(Config::default(), &script);
    }
}

#[test]
fn only_ping_is_accepted_before_initialization() {
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
        > post 2 initialize 1
          rejected: client: the session is already initialized
        > post 2 ping 0
          rejected: client: request id 0 is in use
        > post 2 ping 1
          to backend: ping 1
        > backend response 1
          to 2: 1/0 response 1
          close 2: Complete
        ",
    );
}

#[test]
fn second_initialize_is_rejected_and_initialize_uses_no_stream_number() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 1
          to backend: request 1
        > backend response 1
          to 1: 1/0 response 1
          close 1: Complete
        > post 2 initialize 2
          rejected: client: the session is already initialized
        ",
    );
}

#[test]
fn error_response_to_initialize_closes_the_session() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend error 0
          answer 1: error 0
          close 1: Complete
          session closed: InitializeRejected
        > post 2 request 1
          rejected: the session was closed: the server rejected `initialize`
        > closed 1 through 1
        ",
    );
}

#[test]
fn unacknowledged_initialize_response_closes_the_session() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > closed 1
          session closed: InitializeUnacknowledged; pending 0
        ",
    );
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend response 0 version 2025-06-18
          answer 1: response 0 version 2025-06-18
          close 1: Complete
        > closed 1
          session closed: InitializeUnacknowledged
        ",
    );
}

#[test]
fn client_that_uses_the_session_need_not_acknowledge_initialize() {
    for input in [
        "post notification\nto backend: notification",
        "get 2",
        "post 2 request 1\nto backend: request 1",
    ] {
        for end in ["closed 1", "+60s tick\ncut 1: Stalled"] {
            check(
                Config::default(),
                &format!(
                    "
                    > post 1 initialize 0
                      to backend: initialize 0
                    > backend response 0 version 2025-06-18
                      answer 1: response 0 version 2025-06-18
                      close 1: Complete
                    > {input}
                    > {end}
                    "
                ),
            );
        }
    }
}

#[test]
fn stalled_initialize_connection_closes_the_session() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend response 0 version 2025-06-18
          answer 1: response 0 version 2025-06-18
          close 1: Complete
        > +60s tick
          cut 1: Stalled
          session closed: InitializeUnacknowledged
        ",
    );
}

#[test]
fn init_timeout_counts_from_creation() {
    check(
        Config::default(),
        "
        > +59s post 1 initialize 0
          to backend: initialize 0
        > +999ms tick
        > +1ms tick
          answer 1: failure 0 SessionClosed
          close 1: SessionClosed
          session closed: InitializeTimeout; pending 0
        ",
    );
    check(Config::default(), "> +60s tick\nsession closed: InitializeTimeout");
    let without_timeout = config! { init_timeout: None };
    check(without_timeout, "> +60min post 1 initialize 0\nto backend: initialize 0");
}

#[test]
fn priming_follows_the_revision_unless_configured() {
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
    let always = config! { priming: Priming::Always };
    check_live("2025-03-26", always, &format!("{post}{primed}"));
    let never = config! { priming: Priming::Never };
    check_live("2025-11-25", never, &format!("{post}to backend: request 1"));
}

#[test]
fn too_large_initialize_is_rejected_and_may_be_retried() {
    let config = config! { message_bytes_max: 10, init_timeout: Some(Duration::from_secs(1)) };
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
fn too_large_initialize_response_closes_the_session() {
    let config = config! { message_bytes_max: 10 };
    check(
        config,
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend response 0 (11 bytes)
          answer 1: failure 0 Evicted
          close 1: Complete
          session closed: InitializeRejected
        ",
    );
}
