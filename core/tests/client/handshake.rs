//! The first session.

use crate::script::check;

#[test]
fn session_is_initialized_and_its_headers_follow() {
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
        > 2: 202
          get 3 [s1 2025-11-25]
          post 4 [s1 2025-11-25] request 1
        > 3: 200
        > 4: 200
        > 4: event - response 1
          deliver response 1
        > 4: ended
        ",
    );
}

#[test]
fn only_initialize_is_sent_before_the_session_is_initialized() {
    check(
        "
        > app request 1
          fail 1: not sent: the session is not initialized
        > app notification a
          report DroppedMessage
        > app initialize 0
          post 1 [-] initialize 0
        > app request 1
          fail 1: not sent: the session is not initialized
        > app initialize 2
          fail 2: not sent: the session is already initialized
        > 1: 200
        > 1: event - initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        > app initialize 2
          fail 2: not sent: the session is already initialized
        ",
    );
}

#[test]
fn failed_initialize_can_be_followed_by_another() {
    for (response, failure) in [
        ("500", "the server refused the request with HTTP status 500"),
        (
            "lost",
            "the connection to the server was lost; it is not known whether the server executed the request",
        ),
    ] {
        let refused = if response == "500" { "report Refused { status: 500 }" } else { "" };
        check(&format!(
            "
            > app initialize 0
              post 1 [-] initialize 0
            > 1: {response}
              {refused}
              fail 0: {failure}
            > app initialize 0
              post 2 [-] initialize 0
            > 2: 200 session s2
            > 2: event - error 0
              delete 3 [s2]
              deliver error 0
            > app request 1
              fail 1: not sent: the session is not initialized
            > app initialize 0
              post 4 [-] initialize 0
            "
        ));
    }
}

#[test]
fn response_to_initialize_can_be_resumed() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s1
        > 1: event a retry 2s
        > 1: ended
          report Reconnecting
        > +2s tick
          get 2 [s1] after a
        > 2: 200
        > 2: event b initialized 0 2025-11-25
          deliver initialized 0 2025-11-25
        ",
    );
}

#[test]
fn invalid_session_id_is_not_used() {
    check(
        "
        > app initialize 0
          post 1 [-] initialize 0
        > 1: 200 session s\u{e9}
          report InvalidId
        > 1: event - initialized 0 2025-06-18
          deliver initialized 0 2025-06-18
        > app initialized
          post 2 [- 2025-06-18] initialized
        ",
    );
}
