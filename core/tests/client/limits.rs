//! Limits.

use rejoin_core::client::ClientConfig;

use crate::script::Run;

fn run(set: impl FnOnce(&mut ClientConfig)) -> Run {
    let mut config = ClientConfig::default();
    set(&mut config);
    Run::live(config)
}

#[test]
fn pending_requests_and_queued_messages_are_limited() {
    run(|config| config.requests_max = 1).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > app request 7
          fail 7: not sent: the request id is in use
        > app request 8
          fail 8: not sent: too many messages are pending
        ",
    );
    run(|config| config.queued_max = 1).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > app notification a
          report DroppedMessage
        > 4: 200
        > app request 8
          post 5 [s1 2025-11-25] request 8
        ",
    );
    run(|config| {
        config.message_bytes_max = 100;
        config.queued_bytes_max = 100;
    })
    .check(
        "
        > app request 7 bytes 60
          post 4 [s1 2025-11-25] request 7
        > app request 8 bytes 41
          fail 8: not sent: too many messages are pending
        > app request 9 bytes 40
          post 5 [s1 2025-11-25] request 9
        > 4: lost
          fail 7: the connection to the server was lost; it is not known whether the server executed the request
        > app request 8 bytes 41
          post 6 [s1 2025-11-25] request 8
        ",
    );
    run(|config| config.message_bytes_max = 100).check(
        "
        > app request 7 bytes 101
          fail 7: not sent: the message is larger than 100 bytes
        ",
    );
}

#[test]
fn requests_of_the_server_are_limited() {
    run(|config| config.server_requests_max = 1).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a request s
          deliver request s
        > 4: event b request t
          post 5 [s1 2025-11-25] busy \"t\"
        ",
    );
}

#[test]
fn remembered_event_ids_are_limited() {
    run(|config| config.event_ids_max = 2).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a notification p
          deliver notification p
        > 4: event b notification q
          deliver notification q
        > 4: event c notification r
          deliver notification r
        > 4: event b notification q
          report DuplicateEvent
        > 4: event a notification p
          deliver notification p
        ",
    );
}

#[test]
fn stream_with_a_long_event_id_is_not_resumed() {
    run(|config| config.event_id_bytes_max = 2).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event ab
        > 4: event abc notification p
          report InvalidId
          deliver notification p
        > 4: ended
          fail 7: the connection to the server was lost; it is not known whether the server executed the request
        ",
    );
}

#[test]
fn exchanges_without_a_pending_request_are_limited() {
    run(|config| config.lingering_max = 1).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a response 7
          deliver response 7
        > app notification a
          post 5 [s1 2025-11-25] notification a
        > 5: 200
          abort 4
        ",
    );
}

#[test]
fn too_large_event_fails_the_request_of_its_stream() {
    run(|_| ()).check(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 200
        > 4: event a too-large
          report EventTooLarge
          abort 4
          fail 7: the response of the server is too large
        ",
    );
}
