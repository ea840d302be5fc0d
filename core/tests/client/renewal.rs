//! The opening of sessions that replace lost ones: its delays and timeouts.

use std::time::Duration;

use rejoin_core::client::ClientConfig;

use crate::script::{Run, check, check_live};

/// Loses the live session by the 404 to a request. The `initialize` is exchange 5.
const LOST: &str = "
    > app request 7
      post 4 [s1 2025-11-25] request 7
    > 4: 404
      report SessionLost
      notify session lost
      report NotRenewed
    > wait
      post 5 [-] initialize 0
    ";

#[test]
fn delay_grows_if_each_session_accepts_nothing_but_the_standalone_stream() {
    let mut run = Run::new(ClientConfig::default());
    for input in [
        "> app initialize 0",
        "> 1: 200 session s1",
        "> 1: event - initialized 0 2025-11-25",
        "> 1: ended",
        "> app initialized",
        "> 2: 202",
        "> 2: ended",
    ] {
        run.step(input);
    }
    let mut delays = Vec::new();
    let mut get = 3;
    for session in 2..9 {
        run.step(&format!("> {get}: 200"));
        run.step(&format!("> {get}: event - notification p"));
        run.step(&format!("> {get}: ended"));
        run.step("> wait");
        let lost = run.step(&format!("> {}: 404", get + 1));
        assert_eq!(lost, ["report SessionLost", "report NotRenewed"]);
        delays.push(run.delay());
        run.step("> wait");
        let (initialize, initialized) = (get + 2, get + 3);
        run.step(&format!("> {initialize}: 200 session s{session}"));
        run.step(&format!("> {initialize}: event - initialized 0 2025-11-25"));
        run.step(&format!("> {initialize}: ended"));
        run.step(&format!("> {initialized}: 202"));
        run.step(&format!("> {initialized}: ended"));
        get += 4;
    }
    assert!(delays[0] <= Duration::from_millis(250), "{delays:?}");
    assert!(delays[6] >= Duration::from_secs(8), "{delays:?}");
    // A session that has lived for long is replaced at once.
    run.step(&format!("> {get}: 200"));
    run.step(&format!("> +30s {get}: ended"));
    run.step("> wait");
    let lost = run.step(&format!("> {}: 404", get + 1));
    assert_eq!(lost[0], "report SessionLost");
    assert!(lost[1].starts_with("post "), "{lost:?}");
}

#[test]
fn session_that_is_not_opened_in_time_fails_what_waits() {
    for (progress, abort) in [
        ("", "abort 5"),
        ("> 5: 200 session s2", "abort 5\ndelete 6 [s2]"),
        (
            "> 5: 200 session s2
             > 5: event - initialized 0 2025-11-25
             post 6 [s2 2025-11-25] initialized",
            "abort 6\nabort 5\ndelete 7 [s2 2025-11-25]",
        ),
    ] {
        check_live(&format!(
            "{LOST}
            {progress}
            > app request 8
            > +59s tick
            > +1s tick
              fail 7: not sent: the session was lost, and the server did not open a new one
              fail 8: not sent: the session was lost, and the server did not open a new one
              {abort}
              report NotRenewed
            "
        ));
    }
}

#[test]
fn messages_do_not_wait_for_ever_for_the_notification_before_them() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s1
        > 1: event - initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        > 1: ended
        > app initialized
          post 2 [s1 2025-11-25] initialized
        > app request 1
        > +59s tick
        > +1s tick
          abort 2
          get 3 [s1 2025-11-25]
          post 4 [s1 2025-11-25] request 1
        > +100s tick
        ",
    );
}

#[test]
fn new_session_is_begun_as_late_as_the_server_asks() {
    for (status, asked, expected) in [(429, 100, 100), (503, 100, 100), (503, 1_000, 300)] {
        let mut run = Run::live(ClientConfig::default());
        run.check(&format!(
            "{LOST}
            > 5: {status} after {asked}s
              report Refused {{ status: {status} }}
              report NotRenewed
              fail 7: not sent: the session was lost, and the server did not open a new one
            "
        ));
        assert_eq!(run.delay(), Duration::from_secs(expected));
    }
}

#[test]
fn new_session_gets_one_initialized_notification() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s1
        > 1: event - initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        > 1: ended
        > app request 1
          post 2 [s1 2025-11-25] request 1
        > app initialized
          post 3 [s1 2025-11-25] initialized
        > 3: 429 after 5s
          report Refused { status: 429 }
          report Reconnecting
        > 2: 404
          report SessionLost
          report NotRenewed
        > wait
          post 4 [-] initialize 0
        > 4: 200 session s2
        > 4: event - initialized 0 2025-11-25
          post 5 [s2 2025-11-25] initialized
        > 5: 202
          report SessionRenewed { version_changed: false }
          get 6 [s2 2025-11-25]
          post 7 [s2 2025-11-25] request 1
        > +60s tick
        ",
    );
}
