//! What waits for a new session: for how long, and what ends that.

use std::time::Duration;

use rejoin_core::client::ClientConfig;

use crate::script::Run;

/// Loses the live session by the 404 to a request, which waits. The `initialize` is exchange 5.
fn lost() -> Run {
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
        ",
    );
    run
}

#[test]
fn server_that_drains_and_restarts_loses_no_message() {
    lost().check(
        "
        > 5: 503 after 10s
          report Refused { status: 503 }
          report NotRenewed
        > app request 8
        > +10s tick
          post 6 [-] initialize 0
        > 6: unsent
          report NotRenewed
        > wait
          post 7 [-] initialize 0
        > 7: 200 session s2
        > 7: event - initialized 0 2025-11-25
          post 8 [s2 2025-11-25] initialized
        > 8: 202
          report SessionRenewed { version_changed: false }
          get 9 [s2 2025-11-25]
          post 10 [s2 2025-11-25] request 7
          post 11 [s2 2025-11-25] request 8
        ",
    );
}

#[test]
fn message_waits_if_another_attempt_may_succeed() {
    for failure in ["unsent", "lost", "404", "408", "429", "500", "502", "503", "504"] {
        let mut run = lost();
        let actions = run.step(&format!("> 5: {failure}"));
        assert!(!actions.iter().any(|line| line.starts_with("fail")), "{failure}: {actions:?}");
        run.step("> wait");
        run.step("> 6: 200 session s2");
        run.step("> 6: event - initialized 0 2025-11-25");
        let actions = run.step("> 7: 202");
        assert_eq!(actions.last().unwrap(), "post 9 [s2 2025-11-25] request 7", "{failure}");
    }
}

#[test]
fn message_fails_at_once_if_no_attempt_will_succeed() {
    let failure = "fail 7: not sent: the session was lost, and the server did not open a new one";
    for status in [400, 401, 403, 405] {
        lost().check(&format!(
            "
            > 5: {status}
              report Refused {{ status: {status} }}
              {failure}
              report NotRenewed
            "
        ));
    }
    lost().check(&format!(
        "
        > 5: 200 session s2
        > 5: event - error 0
          abort 5
          delete 6 [s2]
          {failure}
          report NotRenewed
        "
    ));
}

#[test]
fn each_message_waits_for_its_own_timeout() {
    lost().check(
        "
        > +30s app request 8
        > app notification a
        > +29s tick
        > wait
          fail 7: not sent: the session was lost, and the server did not open a new one
        > wait
          abort 5
          report NotRenewed
        > wait
          post 6 [-] initialize 0
        > +28s tick
        > +2s tick
          fail 8: not sent: the session was lost, and the server did not open a new one
          report DroppedMessage
        > app request 9
        > +59s tick
          abort 6
          report NotRenewed
        > +1s tick
          post 7 [-] initialize 0
          fail 9: not sent: the session was lost, and the server did not open a new one
        ",
    );
}

#[test]
fn message_fails_at_once_if_the_server_wants_the_next_attempt_too_late() {
    let mut run = lost();
    run.check(
        "
        > 5: 503 after 61s
          report Refused { status: 503 }
          report NotRenewed
          fail 7: not sent: the session was lost, and the server did not open a new one
        > app request 8
          fail 8: not sent: the session was lost, and the server did not open a new one
        > +2s app request 9
        ",
    );
    assert_eq!(run.delay(), Duration::from_secs(59));
    run.check(
        "
        > wait
          post 6 [-] initialize 0
        > +1s tick
          fail 9: not sent: the session was lost, and the server did not open a new one
        ",
    );
}

#[test]
fn message_whose_404_comes_late_does_not_wait_for_longer() {
    let lost = || {
        let mut run = Run::live(ClientConfig::default());
        run.check(
            "
            > app request 7
              post 4 [s1 2025-11-25] request 7
            > app request 8
              post 5 [s1 2025-11-25] request 8
            > 4: 200
            > 4: event a
            > 4: ended
              report Reconnecting
            > wait
              get 6 [s1 2025-11-25] after a
            > 6: 404
              report SessionLost
              notify session lost
              fail 7: the session was lost; it is not known whether the server executed the request
              post 7 [-] initialize 0
            > 7: unsent
              report NotRenewed
            ",
        );
        run
    };
    let mut run = lost();
    run.check(
        "
        > +40s 5: 404
          post 8 [-] initialize 0
        ",
    );
    assert_eq!(run.delay(), Duration::from_secs(20));
    run.check(
        "
        > wait
          fail 8: not sent: the session was lost, and the server did not open a new one
        ",
    );
    lost().check(
        "
        > +60s 5: 404
          post 8 [-] initialize 0
          fail 8: not sent: the session was lost, and the server did not open a new one
        ",
    );
}

#[test]
fn time_in_the_lost_session_does_not_count() {
    let mut run = Run::live(ClientConfig::default());
    run.check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > +100s 4: 404
          report SessionLost
          notify session lost
          post 5 [-] initialize 0
        > 5: unsent
          report NotRenewed
        > +59s tick
          post 6 [-] initialize 0
        > +1s tick
          fail 7: not sent: the session was lost, and the server did not open a new one
        ",
    );
}

#[test]
fn nothing_fails_once_the_session_is_live() {
    lost().check(
        "
        > 5: 200 session s2
        > 5: event - initialized 0 2025-11-25
          post 6 [s2 2025-11-25] initialized
        > 5: ended
        > 6: 202
          report SessionRenewed { version_changed: false }
          get 7 [s2 2025-11-25]
          post 8 [s2 2025-11-25] request 7
        > +100s tick
        ",
    );
}
