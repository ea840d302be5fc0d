//! Messages of the application, and requests of the server.

use std::time::Duration;

use rejoin_core::client::ClientConfig;

use crate::script::{Run, check_live};

#[test]
fn message_that_may_have_been_received_is_never_sent_again() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: lost
          fail 7: the connection to the server was lost; it is not known whether the server executed the request
        > app notification a
          post 5 [s1 2025-11-25] notification a
        > 5: lost
          report DroppedMessage
        ",
    );
}

#[test]
fn message_that_was_not_sent_is_sent_again_for_a_while() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: unsent
          report Reconnecting
        > wait
          post 5 [s1 2025-11-25] request 7
        > 5: unsent
          report Reconnecting
        > wait
          post 6 [s1 2025-11-25] request 7
        > +60s 6: unsent
          fail 7: not sent: no connection to the server could be made
        ",
    );
}

#[test]
fn response_body_may_be_json_or_a_batch_or_empty() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event - notification p response 7
          deliver notification p
          deliver response 7
        > 4: ended
        > app request 8
          post 5 [s1 2025-11-25] request 8
        > 5: 202
        > 5: ended
          fail 8: the connection to the server was lost; it is not known whether the server executed the request
        > app notification a
          post 6 [s1 2025-11-25] notification a
        > 6: 202
        > 6: ended
        ",
    );
}

#[test]
fn cancellation_ends_a_request_and_is_sent() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > app cancelled 7
          abort 4
          post 5 [s1 2025-11-25] cancelled 7
        > 4: event - response 7
        > app request 8
          post 6 [s1 2025-11-25] request 8
        > app cancelled 8
          abort 6
          post 7 [s1 2025-11-25] cancelled 8
        > app request 9
          post 8 [s1 2025-11-25] request 9
        > 8: 429 after 5s
          report Refused { status: 429 }
          report Reconnecting
        > app cancelled 9
        > +10s tick
        ",
    );
}

#[test]
fn cancelled_request_is_not_resumed() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a
        > 4: ended
          report Reconnecting
        > app cancelled 7
          post 5 [s1 2025-11-25] cancelled 7
        > +10s tick
        ",
    );
}

#[test]
fn only_awaited_responses_of_the_application_are_sent() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a request s
          deliver request s
        > 4: event b request t
          deliver request t
        > 4: event c cancelled t
          deliver cancelled t
        > app response s
          post 5 [s1 2025-11-25] response s
        > app response s
          report DroppedMessage
        > app response t
          report DroppedMessage
        ",
    );
}

#[test]
fn error_without_an_id_fails_the_request_of_its_stream() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event - error null
          abort 4
          fail 7: the server ended its HTTP response without a response to the request
        ",
    );
}

#[test]
fn message_is_tried_again_until_its_timeout_has_passed() {
    let mut config = ClientConfig::default();
    config.send_timeout = Duration::from_secs(10);
    config.backoff_min = Duration::from_secs(100);
    config.backoff_max = Duration::from_secs(100);
    let mut run = Run::live(config);
    run.check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: unsent
          report Reconnecting
        ",
    );
    assert_eq!(run.delay(), Duration::from_secs(10));
    run.check(
        "
        > wait
          post 5 [s1 2025-11-25] request 7
        > 5: unsent
          fail 7: not sent: no connection to the server could be made
        ",
    );
}

#[test]
fn second_initialized_notification_is_not_sent() {
    check_live(
        "
        > app initialized
          report DroppedMessage
        ",
    );
}

#[test]
fn cancellation_ends_its_request_even_if_it_cannot_be_sent() {
    let mut config = ClientConfig::default();
    config.queued_max = 1;
    Run::live(config).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > app notification a
          post 5 [s1 2025-11-25] notification a
        > app cancelled 7
          abort 4
          report DroppedMessage
        > app request 7
          fail 7: not sent: too many messages are pending
        ",
    );
}

#[test]
fn cancellation_for_a_lost_session_is_not_sent_in_the_next_one() {
    check_live(
        "
        > app request 6
          post 4 [s1 2025-11-25] request 6
        > app request 7
          post 5 [s1 2025-11-25] request 7
        > app request 8
          post 6 [s1 2025-11-25] request 8
        > app cancelled 8
          abort 6
          post 7 [s1 2025-11-25] cancelled 8
        > 5: 404
          report SessionLost
          notify session lost
          abort 7
          report DroppedMessage
          report NotRenewed
        > app cancelled 6
          abort 4
        > app cancelled 8
        > wait
          post 8 [-] initialize 0
        > 8: 200 session s2
        > 8: event - initialized 0 2025-11-25
          post 9 [s2 2025-11-25] initialized
        > 9: 202
          report SessionRenewed { version_changed: false }
          get 10 [s2 2025-11-25]
          post 11 [s2 2025-11-25] request 7
        ",
    );
}
