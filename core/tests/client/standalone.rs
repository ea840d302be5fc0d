//! The standalone stream.

use crate::script::{Run, check_live};
use rejoin_core::client::ClientConfig;

fn initialized() -> Run {
    let mut run = Run::new(ClientConfig::default());
    run.check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s1
        > 1: event - initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        > 1: ended
        > app initialized
          post 2 [s1 2025-11-25] initialized
        > 2: 202
          get 3 [s1 2025-11-25]
        > 2: ended
        ",
    );
    run
}

#[test]
fn standalone_stream_is_opened_again_after_its_last_event() {
    initialized().check(
        "
        > 3: 200
        > 3: event a notification p
          deliver notification p
        > 3: ended
          report Reconnecting
        > wait
          get 4 [s1 2025-11-25] after a
        > 4: unsent
          report Reconnecting
        > wait
          get 5 [s1 2025-11-25] after a
        > 5: 503
          report Refused { status: 503 }
          report Reconnecting
        > wait
          get 6 [s1 2025-11-25] after a
        > 6: 409
          report Refused { status: 409 }
          report Reconnecting
        > wait
          get 7 [s1 2025-11-25] after a
        > 7: 200
        > 7: event a notification p
          report DuplicateEvent
        > 7: event b notification q
          deliver notification q
        ",
    );
}

#[test]
fn standalone_stream_without_an_event_id_begins_anew() {
    initialized().check(
        "
        > 3: 200
        > 3: event - notification p
          deliver notification p
        > 3: ended
          report Reconnecting
        > wait
          get 4 [s1 2025-11-25]
        ",
    );
}

#[test]
fn server_without_a_standalone_stream_is_not_asked_again() {
    for status in [405, 404, 204] {
        let mut run = initialized();
        run.check(&format!(
            "
            > 3: {status}
              report NoStandalone {{ status: {status} }}
            > app request 1
              post 4 [s1 2025-11-25] request 1
            "
        ));
        assert_eq!(run.client().deadline(), None);
    }
}

#[test]
fn too_large_event_does_not_end_the_standalone_stream() {
    initialized().check(
        "
        > 3: 200
        > 3: event a too-large
          report EventTooLarge
        > 3: event b notification p
          deliver notification p
        ",
    );
}

#[test]
fn response_on_another_stream_ends_its_request() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > app request 8
          post 5 [s1 2025-11-25] request 8
        > 5: 200
        > 5: event - response 7
          deliver response 7
          abort 4
        > 4: 404
        > 5: event - response 7
          report DroppedResponse { request: 7 }
        > app request 9
          post 6 [s1 2025-11-25] request 9
        > 6: unsent
          report Reconnecting
        > 5: event - response 9
          deliver response 9
        > +60s tick
        > 5: event - response 8
          deliver response 8
        ",
    );
}

#[test]
fn standalone_stream_that_is_refused_for_a_time_begins_anew() {
    initialized().check(
        "
        > 3: 200
        > 3: event a notification p
          deliver notification p
        > 3: ended
          report Reconnecting
        > wait
          get 4 [s1 2025-11-25] after a
        > 4: 400
          report Refused { status: 400 }
          report Reconnecting
        > wait
          get 5 [s1 2025-11-25]
        > 5: 400
          report Refused { status: 400 }
          report Reconnecting
        > wait
          get 6 [s1 2025-11-25]
        > 6: 200
        > 6: event b notification q
          deliver notification q
        ",
    );
}
