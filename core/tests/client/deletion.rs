//! The DELETE of sessions that are given up before they are live.

use crate::script::{Run, check};

/// Loses the live session, and begins another one, `s2`.
const BEGUN: &str = "
    > app request 7
      post 4 [s1 2025-11-25] request 7
    > 4: 404
      report SessionLost
      notify session lost
      report NotRenewed
    > wait
      post 5 [-] initialize 0
    > 5: 200 session s2
    ";

fn begun() -> Run {
    let mut run = Run::live(rejoin_core::client::ClientConfig::default());
    run.check(BEGUN);
    run
}

#[test]
fn session_that_is_not_renewed_is_deleted() {
    begun().check(
        "
        > 5: ended
          delete 6 [s2]
          report NotRenewed
        > 6: 204
        > wait
          post 7 [-] initialize 0
        ",
    );
    begun().check(
        "
        > 5: event - initialized 0 2025-11-25
          post 6 [s2 2025-11-25] initialized
        > 6: lost
          abort 5
          delete 7 [s2 2025-11-25]
          report NotRenewed
        > 7: lost
        > wait
          post 8 [-] initialize 0
        ",
    );
}

#[test]
fn session_that_the_server_does_not_know_is_not_deleted() {
    begun().check(
        "
        > 5: event - initialized 0 2025-11-25
          post 6 [s2 2025-11-25] initialized
        > 6: 404
          abort 5
          report NotRenewed
        ",
    );
}

#[test]
fn session_that_is_unknown_before_the_response_to_initialize_is_not_deleted() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s1
        > 1: event a
        > 1: ended
          report Reconnecting
        > wait
          get 2 [s1] after a
        > 2: 404
          fail 0: the session was lost; it is not known whether the server executed the request
        > app initialize 0
          post 3 [-] initialize 0
        ",
    );
}

#[test]
fn session_whose_initialize_fails_is_deleted() {
    for (end, outcome) in [
        (
            "ended",
            "fail 0: the connection to the server was lost; it is not known whether the server \
             executed the request",
        ),
        ("event - error 0", "deliver error 0"),
    ] {
        check(&format!(
            "
            > app initialize 0
              post 1 [-] initialize 0
            > 1: 200 session s1
            > 1: {end}
              delete 2 [s1]
              {outcome}
            > 2: 200
              abort 2
            > app initialize 0
              post 3 [-] initialize 0
            "
        ));
    }
}

#[test]
fn delete_without_a_response_is_aborted() {
    begun().check(
        "
        > 5: ended
          delete 6 [s2]
          report NotRenewed
        > wait
          post 7 [-] initialize 0
        > +3s tick
          abort 6
        > +1s tick
        ",
    );
}

#[test]
fn deletes_without_a_response_are_limited() {
    let mut run = Run::new(rejoin_core::client::ClientConfig::default());
    for nth in 0_usize..6 {
        let (initialize, delete) = (2 * nth + 1, 2 * nth + 2);
        run.step("> app initialize 0");
        run.step(&format!("> {initialize}: 200 session s{nth}"));
        let actions = run.step(&format!("> {initialize}: event - error 0"));
        let oldest = format!("abort {}", delete.saturating_sub(8));
        let aborts = nth >= 4;
        assert_eq!(actions.contains(&oldest), aborts, "{actions:?}");
        assert!(actions.contains(&format!("delete {delete} [s{nth}]")), "{actions:?}");
        assert_eq!(actions.len(), if aborts { 3 } else { 2 }, "{actions:?}");
        run.step(&format!("> {initialize}: ended"));
    }
    run.step("> app initialize 0");
    run.step("> 13: 200 session s6");
    run.check(
        "
        > close
          abort 13
          abort 6
          delete 14 [s6]
        > 8: 204
        > 10: 204
        > 12: lost
        > 14: 204
          finish
        ",
    );
}

#[test]
fn the_end_waits_for_the_delete_of_a_session_that_was_given_up() {
    begun().check(
        "
        > 5: ended
          delete 6 [s2]
          report NotRenewed
        > wait
          post 7 [-] initialize 0
        > +2s close
          abort 7
        > +500ms 6: 204
          finish
        ",
    );
    begun().check(
        "
        > 5: ended
          delete 6 [s2]
          report NotRenewed
        > wait
          post 7 [-] initialize 0
        > +2s close
          abort 7
        > +500ms tick
        > +500ms tick
          abort 6
          finish
        ",
    );
}
