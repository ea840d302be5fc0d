//! Statuses that refuse a message.

use crate::script::check_live;

#[test]
fn refusal_names_its_status_or_has_the_error_of_the_server() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 401
          report Refused { status: 401 }
          fail 7: the server refused the request with HTTP status 401
        > app request 8
          post 5 [s1 2025-11-25] request 8
        > 5: 400 error 8
          report Refused { status: 400 }
          deliver error 8
        > app request 9
          post 6 [s1 2025-11-25] request 9
        > 6: 400 error 8
          report Refused { status: 400 }
          fail 9: the server refused the request with HTTP status 400
        > app notification a
          post 7 [s1 2025-11-25] notification a
        > 7: 400
          report Refused { status: 400 }
          report DroppedMessage
        ",
    );
}

#[test]
fn message_is_sent_again_once_if_the_credentials_have_changed() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 401 changed
          report Refused { status: 401 }
          post 5 [s1 2025-11-25] request 7
        > 5: 401 changed
          report Refused { status: 401 }
          fail 7: the server refused the request with HTTP status 401
        ",
    );
}

#[test]
fn resume_is_sent_again_once_if_the_credentials_have_changed() {
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
        > 5: 401 changed
          get 6 [s1 2025-11-25] after a
        > 6: 401 changed
          report Refused { status: 401 }
          report Reconnecting
        ",
    );
}

#[test]
fn message_is_sent_later_as_told() {
    check_live(
        "
        > app request 7
          post 4 [s1 2025-11-25] request 7
        > 4: 503 after 5s
          report Refused { status: 503 }
          report Reconnecting
        > +4s tick
        > +1s tick
          post 5 [s1 2025-11-25] request 7
        > 5: 429
          report Refused { status: 429 }
          report Reconnecting
        > wait
          post 6 [s1 2025-11-25] request 7
        > 6: 429 after 60s
          report Refused { status: 429 }
          fail 7: the server refused the request with HTTP status 429
        > app request 8
          post 7 [s1 2025-11-25] request 8
        > 7: 503
          report Refused { status: 503 }
          fail 8: the server refused the request with HTTP status 503
        ",
    );
}
