//! Connections that cannot be made for a permanent reason.

use rejoin_core::client::ClientConfig;

use crate::script::{Run, check, check_live};

#[test]
fn initialize_fails_at_once_with_the_reason() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: untrusted
          fail 0: not sent: untrusted
        > app initialize 1
          post 2 [-] initialize 1
        > 2: 200 session s1
        ",
    );
}

#[test]
fn message_of_a_session_is_tried_again_until_its_timeout() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: untrusted
          report Reconnecting
        > wait
          post 5 [s1 2025-11-25] request 7
        > 5: 200
        > app request 8
          post 6 [s1 2025-11-25] request 8
        > app notification a
          post 7 [s1 2025-11-25] notification a
        > +60s 6: untrusted
          fail 8: not sent: untrusted
        > 7: untrusted
          report DroppedMessage
        > app request 9
          post 8 [s1 2025-11-25] request 9
        > 8: 200
        ",
    );
}

#[test]
fn initialized_is_tried_again_and_the_others_wait() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s1
        > 1: event - initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        > app initialized
          post 2 [s1 2025-11-25] initialized
        > 2: untrusted
          report Reconnecting
        > app request 1
        > wait
          post 3 [s1 2025-11-25] initialized
        > 3: 202
          get 4 [s1 2025-11-25]
          post 5 [s1 2025-11-25] request 1
        ",
    );
}

#[test]
fn response_to_the_server_is_tried_again() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a request q
          deliver request q
        > app response q
          post 5 [s1 2025-11-25] response q
        > 5: untrusted
          report Reconnecting
        > wait
          post 6 [s1 2025-11-25] response q
        ",
    );
}

#[test]
fn pending_request_is_resumed_as_after_any_lost_connection() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a
        > 4: ended
          report Reconnecting
        > wait
          get 5 [s1 2025-11-25] after a
        > 5: untrusted
          report Reconnecting
        > wait
          get 6 [s1 2025-11-25] after a
        > 6: 200
        > 6: event b response 7
          deliver response 7
        ",
    );
}

/// Loses the live session by the 404 to a request; then the server drains, and another one is at its
/// address. The next `initialize` is exchange 7.
fn replaced() -> Run {
    let mut run = Run::live(ClientConfig::default());
    run.check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 404
          report SessionLost
          notify session lost
          report NotRenewed
        > wait
          post 5 [-] initialize 0
        > 5: 503
          report Refused { status: 503 }
          report NotRenewed
        > wait
          post 6 [-] initialize 0
        > 6: untrusted
          report NotRenewed
        ",
    );
    run
}

#[test]
fn message_waits_for_a_new_session() {
    replaced().check(
        "
        > wait
          post 7 [-] initialize 0
        > 7: 200 session s2
        > 7: event - initialized 0 2025-11-25
          post 8 [s2 2025-11-25] initialized
        > 8: untrusted
          report Reconnecting
        > wait
          post 9 [s2 2025-11-25] initialized
        > 9: 202
          report SessionRenewed { version_changed: false }
          get 10 [s2 2025-11-25]
          post 11 [s2 2025-11-25] request 7
        ",
    );
}

#[test]
fn message_that_has_waited_for_too_long_fails_with_the_reason_of_the_last_attempt() {
    replaced().check(
        "
        > +40s tick
          post 7 [-] initialize 0
        > 7: untrusted
          report NotRenewed
        > +20s app request 8
          post 8 [-] initialize 0
          fail 7: not sent: untrusted
        > 8: unsent
          report NotRenewed
        > +41s tick
          post 9 [-] initialize 0
        > +19s tick
          fail 8: not sent: the session was lost, and the server did not open a new one
        ",
    );
}
