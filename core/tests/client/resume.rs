//! Streams that are cut, and what the server sends again.

use std::time::Duration;

use rejoin_core::client::ClientConfig;

use crate::script::{Run, check_live};

#[test]
fn cut_stream_is_resumed_after_its_last_event() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a retry 3s
        > 4: event b notification p
          deliver notification p
        > 4: ended
          report Reconnecting
        > +2s tick
        > +1s tick
          get 5 [s1 2025-11-25] after b
        > 5: 200
        > 5: event c response 7
          deliver response 7
        > 5: ended
        ",
    );
}

#[test]
fn cut_stream_without_an_event_id_fails_its_request() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event - notification p
          deliver notification p
        > 4: ended
          fail 7: the connection to the server was lost; it is not known whether the server executed the request
        > app request 8
          post 5 [s1 2025-11-25] request 8
        > 5: 200
        > 5: event a
        > 5: event empty notification q
          deliver notification q
        > 5: ended
          fail 8: the connection to the server was lost; it is not known whether the server executed the request
        ",
    );
}

#[test]
fn events_and_responses_that_come_again_are_dropped() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a notification p
          deliver notification p
        > 4: event b request s
          deliver request s
        > 4: ended
          report Reconnecting
        > wait
          get 5 [s1 2025-11-25] after b
        > 5: 200
        > 5: event a notification p
          report DuplicateEvent
        > 5: event b request s
          report DuplicateEvent
        > 5: event c response 7
          deliver response 7
        > 5: event d response 7
          report DroppedResponse { request: 7 }
        > 5: event e notification q
          deliver notification q
        > 5: ended
        ",
    );
}

#[test]
fn response_is_delivered_even_if_the_server_uses_an_event_id_twice() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a notification p
          deliver notification p
        > 4: event a response 7
          report DuplicateEvent
          deliver response 7
        ",
    );
}

#[test]
fn resume_goes_on_after_the_newest_event() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a notification p
          deliver notification p
        > 4: event b notification q
          deliver notification q
        > 4: ended
          report Reconnecting
        > wait
          get 5 [s1 2025-11-25] after b
        > 5: 200
        > 5: event a notification p
          report DuplicateEvent
        > 5: ended
          report Reconnecting
        > wait
          get 6 [s1 2025-11-25] after b
        ",
    );
}

#[test]
fn delay_grows_while_the_server_cannot_be_reached_and_is_reset_by_a_message() {
    let mut run = Run::live(ClientConfig::default());
    run.check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a notification p
          deliver notification p
        > 4: ended
          report Reconnecting
        ",
    );
    let mut nominal = Duration::from_millis(250);
    for exchange in 5..13 {
        let delay = run.delay();
        assert!(nominal / 2 <= delay && delay <= nominal, "{exchange}: {delay:?}");
        nominal = (nominal * 2).min(Duration::from_secs(30));
        run.step("> wait");
        run.step(&format!("> {exchange}: unsent"));
    }
    run.step("> wait");
    run.check(
        "
        > 13: 200
        > 13: event b notification q
          deliver notification q
        > 13: ended
          report Reconnecting
        ",
    );
    assert!(run.delay() <= Duration::from_millis(250));
}

#[test]
fn request_fails_when_its_server_was_not_reached_for_long() {
    let mut config = ClientConfig::default();
    config.resume_timeout = Duration::from_secs(10);
    config.backoff_min = Duration::from_secs(6);
    config.backoff_max = Duration::from_secs(6);
    Run::live(config).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a
        > 4: ended
          report Reconnecting
        > wait
          get 5 [s1 2025-11-25] after a
        > 5: unsent
          report Reconnecting
        > wait
          get 6 [s1 2025-11-25] after a
        > +4s 6: 503
          report Refused { status: 503 }
          fail 7: the response could not be fetched again; it is not known whether the server executed the request
        ",
    );
}

#[test]
fn server_that_lets_its_client_poll_is_polled_as_told() {
    let mut run = Run::live(ClientConfig::default());
    run.step("> app request 7");
    run.step("> 4: 200");
    run.step("> 4: event a retry 2s");
    for exchange in 4..300 {
        run.step(&format!("> {exchange}: ended"));
        assert_eq!(run.delay(), Duration::from_secs(2));
        run.step("> wait");
        run.step(&format!("> {}: 200", exchange + 1));
    }
    assert_eq!(run.client().pending_requests(), 1);
}

#[test]
fn refused_resume_fails_the_request() {
    for (status, failure) in [
        (
            400,
            "the response could not be fetched again; it is not known whether the server executed the request",
        ),
        (204, "the server ended its HTTP response without a response to the request"),
    ] {
        let refused = if status == 204 {
            String::new()
        } else {
            format!("report Refused {{ status: {status} }}")
        };
        check_live(&format!(
            "
            > app request 7
              post 4 [s1 2025-11-25] request 7
            > 4: 200
            > 4: event a
            > 4: ended
              report Reconnecting
            > wait
              get 5 [s1 2025-11-25] after a
            > 5: {status}
              {refused}
              fail 7: {failure}
            "
        ));
    }
}

#[test]
fn server_that_asks_for_no_delay_is_not_polled_without_one() {
    let mut run = Run::live(ClientConfig::default());
    run.step("> app request 7");
    run.step("> 4: 200");
    run.step("> 4: event a retry 0s");
    for exchange in 4..20 {
        assert_eq!(run.step(&format!("> {exchange}: ended")), ["report Reconnecting"]);
        assert_eq!(run.delay(), ClientConfig::default().backoff_min);
        run.step("> wait");
        run.step(&format!("> {}: 200", exchange + 1));
    }
}

#[test]
fn resume_is_tried_until_its_timeout_has_passed() {
    let mut config = ClientConfig::default();
    config.resume_timeout = Duration::from_secs(10);
    config.backoff_min = Duration::from_secs(100);
    config.backoff_max = Duration::from_secs(100);
    let mut run = Run::live(config);
    run.check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a
        > 4: ended
          report Reconnecting
        ",
    );
    assert_eq!(run.delay(), Duration::from_secs(10));
    run.check(
        "
        > wait
          get 5 [s1 2025-11-25] after a
        > 5: unsent
          fail 7: the response could not be fetched again; it is not known whether the server executed the request
        > app request 8
          post 6 [s1 2025-11-25] request 8
        > 6: 200
        > 6: event a retry 200s
        > 6: ended
          report Reconnecting
        > +199s tick
        > +1s tick
          get 7 [s1 2025-11-25] after a
        ",
    );
}

#[test]
fn event_id_is_used_again_after_an_empty_one() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a notification p
          deliver notification p
        > 4: event empty
        > 4: event a notification p
          report DuplicateEvent
        > 4: ended
          report Reconnecting
        > wait
          get 5 [s1 2025-11-25] after a
        ",
    );
}

#[test]
fn resume_that_is_not_authorized_is_tried_again_until_the_timeout() {
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
        > 5: 401
          report Refused { status: 401 }
          report Reconnecting
        > wait
          get 6 [s1 2025-11-25] after a
        > 6: 401 changed
          get 7 [s1 2025-11-25] after a
        > 7: 403 changed
          report Refused { status: 403 }
          report Reconnecting
        > wait
          get 8 [s1 2025-11-25] after a
        > +300s 8: 401
          report Refused { status: 401 }
          fail 7: the response could not be fetched again; it is not known whether the server executed the request
        ",
    );
}
