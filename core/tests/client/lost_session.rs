//! Lost sessions, and the new ones that replace them.

use std::time::Duration;

use rejoin_core::client::ClientConfig;

use crate::script::{Run, check, check_live};

#[test]
fn lost_session_is_replaced_by_a_new_one() {
    check_live(
        "
        > app request 6
          post 4 [s1 2025-11-25] request 6
        > 4: 200
        > 4: event - request s
          deliver request s
        > app request 7
          post 5 [s1 2025-11-25] request 7
        > app request 8
          post 6 [s1 2025-11-25] request 8
        > 5: 404
          report SessionLost
          notify session lost
          notify cancelled \"s\"
          abort 4
          fail 6: the session was lost; it is not known whether the server executed the request
          post 7 [-] initialize 0
        > app request 9
        > app response s
          report DroppedMessage
        > 7: 200 session s2
        > 7: event - lists initialized 0 2025-11-25
          post 8 [s2 2025-11-25] initialized
        > 6: 404
        > 8: 202
          report SessionRenewed { version_changed: false }
          notify lists changed: tools resources
          get 9 [s2 2025-11-25]
          post 10 [s2 2025-11-25] request 7
          post 11 [s2 2025-11-25] request 8
          post 12 [s2 2025-11-25] request 9
        > 10: 200
        > 10: event - response 7
          deliver response 7
        ",
    );
}

#[test]
fn late_404_of_the_lost_session_does_not_lose_the_new_one() {
    check_live(
        "
        > app request 6
          post 4 [s1 2025-11-25] request 6
        > app request 7
          post 5 [s1 2025-11-25] request 7
        > 5: 404
          report SessionLost
          notify session lost
          report NotRenewed
        > wait
          post 6 [-] initialize 0
        > 6: 200 session s2
        > 6: event - initialized 0 2025-11-25
          post 7 [s2 2025-11-25] initialized
        > 7: 202
          report SessionRenewed { version_changed: false }
          get 8 [s2 2025-11-25]
          post 9 [s2 2025-11-25] request 7
        > 4: 404
          post 10 [s2 2025-11-25] request 6
        ",
    );
}

#[test]
fn request_that_the_lost_session_accepts_late_is_not_resumed_in_the_new_one() {
    check_live(
        "
        > app request 6
          post 4 [s1 2025-11-25] request 6
        > app request 7
          post 5 [s1 2025-11-25] request 7
        > 5: 404
          report SessionLost
          notify session lost
          report NotRenewed
        > 4: 200
        > 4: event a notification p
          deliver notification p
        > 4: ended
          fail 6: the session was lost; it is not known whether the server executed the request
        ",
    );
}

#[test]
fn request_is_resent_in_one_new_session_only() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 404
          report SessionLost
          notify session lost
          report NotRenewed
        > wait
          post 5 [-] initialize 0
        > 5: 200 session s2
        > 5: event - initialized 0 2025-11-25
          post 6 [s2 2025-11-25] initialized
        > 5: ended
        > 6: 202
          report SessionRenewed { version_changed: false }
          get 7 [s2 2025-11-25]
          post 8 [s2 2025-11-25] request 7
        > 6: ended
        > 8: 404
          fail 7: the server refused the request with HTTP status 404
          report SessionLost
          notify session lost
          abort 7
          report NotRenewed
        ",
    );
}

#[test]
fn delay_grows_while_no_session_can_be_opened() {
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
        > 5: unsent
          report NotRenewed
        ",
    );
    let mut delays = vec![run.delay()];
    for (exchange, response) in (6..).zip(["500", "lost", "404", "401", "429 after 1s"]) {
        run.step("> wait");
        run.step(&format!("> {exchange}: {response}"));
        delays.push(run.delay());
    }
    assert!(delays[5] >= Duration::from_secs(8), "{delays:?}");
    run.check(
        "
        > app request 8
        > wait
          post 11 [-] initialize 0
        > 11: 200 session s2
        > 11: event - error 0
          abort 11
          delete 12 [s2]
          fail 8: not sent: the session was lost, and the server did not open a new one
          report NotRenewed
        > 12: 204
        > wait
          post 13 [-] initialize 0
        > 13: 200 session s3
        > 13: event - initialized 0 2025-06-18
          post 14 [s3 2025-06-18] initialized
        > 14: 404
          abort 13
          report NotRenewed
        > wait
          post 15 [-] initialize 0
        > 15: 200 session s4
        > 15: ended
          delete 16 [s4]
          report NotRenewed
        > 16: 405
        > wait
          post 17 [-] initialize 0
        > 17: 200 session s5
        > 17: event - initialized 0 2025-06-18
          post 18 [s5 2025-06-18] initialized
        > 18: 202
          report SessionRenewed { version_changed: true }
          get 19 [s5 2025-06-18]
        ",
    );
}

#[test]
fn session_can_be_lost_before_it_is_used() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s1
        > 1: event - initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        > app initialized
          post 2 [s1 2025-11-25] initialized
        > app request 1
        > 2: 404
          report SessionLost
          abort 1
          report NotRenewed
        > wait
          post 3 [-] initialize 0
        > app initialized
          report DroppedMessage
        > 3: 200 session s2
        > 3: event - initialized 0 2025-11-25
          post 4 [s2 2025-11-25] initialized
        > 4: 202
          report SessionRenewed { version_changed: false }
          get 5 [s2 2025-11-25]
          post 6 [s2 2025-11-25] request 1
        > app initialized
          report DroppedMessage
        ",
    );
}

#[test]
fn standalone_stream_that_was_open_notices_a_lost_session() {
    let mut run = Run::new(ClientConfig::default());
    for input in [
        "> app initialize 0",
        "> 1: 200 session s1",
        "> 1: event - initialized 0 2025-11-25",
        "> 1: ended",
        "> app initialized",
        "> 2: 202",
        "> 2: ended",
        "> 3: 200",
        "> 3: ended",
    ] {
        run.step(input);
    }
    run.check(
        "
        > wait
          get 4 [s1 2025-11-25]
        > 4: 404
          report SessionLost
          report NotRenewed
        > wait
          post 5 [-] initialize 0
        ",
    );
}

#[test]
fn resume_of_a_request_notices_a_lost_session() {
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
        > 5: 404
          report SessionLost
          notify session lost
          fail 7: the session was lost; it is not known whether the server executed the request
          post 6 [-] initialize 0
        ",
    );
}

#[test]
fn without_a_session_id_404_is_an_ordinary_refusal() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200
        > 1: event - initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        > app request 1
          post 2 [- 2025-11-25] request 1
        > 2: 404
          report Refused { status: 404 }
          fail 1: the server refused the request with HTTP status 404
        ",
    );
}
