//! Requests of the server, and the session that they belong to.

use rejoin_core::client::ClientConfig;

use crate::script::{Run, check_live};

/// A live session that is lost by the 404 to request 7, and renewed; request 6 is still in flight.
const RENEWED: &str = "
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
    > 6: ended
    > 7: 202
      report SessionRenewed { version_changed: false }
      get 8 [s2 2025-11-25]
      post 9 [s2 2025-11-25] request 7
    > 7: ended
    ";

fn run(set: impl FnOnce(&mut ClientConfig)) -> Run {
    let mut config = ClientConfig::default();
    set(&mut config);
    Run::live(config)
}

#[test]
fn response_to_a_request_of_a_lost_session_is_not_sent_in_the_next_one() {
    for (progress, abort) in [("", "abort 5"), ("> 5: unsent\nreport Reconnecting", "")] {
        check_live(&format!(
            "
            > app request 7
              post 4 [s1 2025-11-25] request 7
            > 4: 200
            > 4: event - request s
              deliver request s
            > app response s
              post 5 [s1 2025-11-25] response s
            {progress}
            > app request 8
              post 6 [s1 2025-11-25] request 8
            > 6: 404
              report SessionLost
              notify session lost
              {abort}
              report DroppedMessage
              abort 4
              fail 7: the session was lost; it is not known whether the server executed the request
              post 7 [-] initialize 0
            > 5: 404
            > 7: 200 session s2
            > 7: event - initialized 0 2025-11-25
              post 8 [s2 2025-11-25] initialized
            > 8: 202
              report SessionRenewed {{ version_changed: false }}
              get 9 [s2 2025-11-25]
              post 10 [s2 2025-11-25] request 8
            > +60s tick
            "
        ));
    }
}

#[test]
fn error_of_the_machine_is_not_sent_in_the_next_session() {
    run(|config| config.server_requests_max = 0).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event - request s
          post 5 [s1 2025-11-25] busy \"s\"
        > 5: 429 after 5s
          report Refused { status: 429 }
          report Reconnecting
        > app request 8
          post 6 [s1 2025-11-25] request 8
        > 6: 404
          report SessionLost
          notify session lost
          abort 4
          fail 7: the session was lost; it is not known whether the server executed the request
          post 7 [-] initialize 0
        > 7: 200 session s2
        > 7: event - initialized 0 2025-11-25
          post 8 [s2 2025-11-25] initialized
        > 8: 202
          report SessionRenewed { version_changed: false }
          get 9 [s2 2025-11-25]
          post 10 [s2 2025-11-25] request 8
        > +60s tick
        ",
    );
}

#[test]
fn stream_of_a_lost_session_does_not_change_the_requests_of_the_next_one() {
    check_live(&format!(
        "{RENEWED}
        > 4: 200
        > 4: event a request s
          report DroppedServerRequest {{ request: \"s\" }}
        > app response s
          report DroppedMessage
        > 9: 200
        > 9: event a request s
          deliver request s
        > 4: event b cancelled s
        > app response s
          post 10 [s2 2025-11-25] response s
        > 4: event c response 7
          report DroppedResponse {{ request: 7 }}
        > 4: event d notification p
          deliver notification p
        > 4: event e response 6
          deliver response 6
        "
    ));
}

#[test]
fn requests_of_a_session_that_was_not_opened_end_with_it() {
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
        > 5: event - request s
          deliver request s
        > 5: event - request t
          deliver request t
        > app response s
        > 5: event - error 0
          abort 5
          notify cancelled \"t\"
          report DroppedMessage
          delete 6 [s2]
          fail 7: not sent: the session was lost, and the server did not open a new one
          report NotRenewed
        > app response t
          report DroppedMessage
        > wait
          post 7 [-] initialize 0
        > 7: 200 session s3
        > 7: event - initialized 0 2025-11-25
          post 8 [s3 2025-11-25] initialized
        > 8: 202
          report SessionRenewed { version_changed: false }
          get 9 [s3 2025-11-25]
        ",
    );
}

#[test]
fn server_gets_an_error_for_a_response_that_is_not_sent() {
    run(|config| {
        config.message_bytes_max = 100;
        config.server_requests_max = 1;
    })
    .check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a request s
          deliver request s
        > app response s bytes 101
          report DroppedMessage
          post 5 [s1 2025-11-25] dropped \"s\"
        > 4: event b request t
          deliver request t
        ",
    );
    run(|config| config.queued_max = 1).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a request s
          deliver request s
        > app notification a
          post 5 [s1 2025-11-25] notification a
        > app response s
          report DroppedMessage
          post 6 [s1 2025-11-25] dropped \"s\"
        > app response s
          report DroppedMessage
        ",
    );
}

#[test]
fn request_of_the_server_that_is_dropped_is_reported() {
    run(|config| {
        config.queued_max = 1;
        config.server_requests_max = 1;
    })
    .check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a request s
          deliver request s
        > 4: event b request t
          post 5 [s1 2025-11-25] busy \"t\"
        > 4: event c request s
          report DroppedServerRequest { request: \"s\" }
        > 4: event d request u
          post 6 [s1 2025-11-25] busy \"u\"
        > 4: event e request v
          report DroppedServerRequest { request: \"v\" }
        > app response s
          report DroppedMessage
          report DroppedServerRequest { request: \"s\" }
        > 5: 202
        > 5: ended
        > 4: event f request w
          deliver request w
        ",
    );
}

#[test]
fn request_after_the_message_that_ends_its_session_is_dropped() {
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
        > 5: event - error 0 request s
          abort 5
          delete 6 [s2]
          fail 7: not sent: the session was lost, and the server did not open a new one
          report NotRenewed
          report DroppedServerRequest { request: \"s\" }
        ",
    );
}
