//! Connections that cannot be made, for a reason that does not pass by itself.

use crate::script::{check, check_live};

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
fn message_fails_at_once_and_the_next_one_is_tried() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > app notification a
          post 5 [s1 2025-11-25] notification a
        > 4: untrusted
          fail 7: not sent: untrusted
        > 5: untrusted
          report DroppedMessage
        > app request 8
          post 6 [s1 2025-11-25] request 8
        > 6: 200
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

#[test]
fn what_waits_for_a_new_session_fails_with_the_reason() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 404
          report SessionLost
          notify session lost
          report NotRenewed
        > app request 8
        > wait
          post 5 [-] initialize 0
        > 5: untrusted
          fail 7: not sent: untrusted
          fail 8: not sent: untrusted
          report NotRenewed
        > app request 9
        > wait
          post 6 [-] initialize 0
        ",
    );
}
