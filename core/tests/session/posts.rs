//! POSTs: request streams, batches and the JSON format.

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn request_opens_a_stream_for_its_response() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > post 2 request 8
          to backend: request 8
        > backend progress t
          to 1: 1/0 progress t
        > backend response 8
          to 2: 1/1 response 8
          close 2: Complete
        > backend error 7
          to 1: 2/0 error 7
          close 1: Complete
        > closed 1 through 2
        ",
    );
}

#[test]
fn ids_and_tokens_in_use_are_rejected() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > post 2 request 7
          rejected: client: request id 7 is in use
        > post 2 request 8 token t
          rejected: client: progress token \"t\" is in use
        > post 2 request seven
          to backend: request seven
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > post 3 request 7 token t
          to backend: request 7 token t
        ",
    );
}

#[test]
fn batch_opens_one_stream_that_completes_with_the_last_response() {
    check_live(
        "2025-03-26",
        Config::default(),
        "
        > post 1 batch [request 1, notification, request 2 token t]
          to backend: request 1
          to backend: notification
          to backend: request 2 token t
        > backend response 2
          to 1: 1/0 response 2
        > backend response 1
          to 1: 2/0 response 1
          close 1: Complete
        > post batch [notification, notification]
          to backend: notification
          to backend: notification
        ",
    );
}

#[test]
fn batch_is_accepted_or_rejected_as_a_whole() {
    let config = config! { batch_max: 3, pending_requests_max: 3 };
    check_live(
        "2025-03-26",
        config,
        "
        > post 1 batch []
          rejected: client: the batch is empty
        > post batch []
          rejected: client: the batch is empty
        > post 1 batch [request 1, request 2, request 3, request 4]
          rejected: client: the batch has more than 3 messages
        > post batch [notification, notification, notification, notification]
          rejected: client: the batch has more than 3 messages
        > post 1 batch [request 1, initialize 2]
          rejected: client: initialize must not be part of a batch
        > post 1 batch [request 1, request 1]
          rejected: client: request id 1 is in use
        > post 1 batch [request 1 token t, request 2 token t]
          rejected: client: progress token \"t\" is in use
        > post 1 batch [request 1, request 2]
          to backend: request 1
          to backend: request 2
        > post 2 batch [request 3, request 4]
          rejected: client: too many pending requests (maximum 3)
        > post 2 request 3
          to backend: request 3
        ",
    );
}

#[test]
fn batches_are_rejected_in_later_revisions() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 batch [request 1]
          rejected: client: the negotiated protocol version does not support batches
        > post batch [notification]
          rejected: client: the negotiated protocol version does not support batches
        ",
    );
}

#[test]
fn api_misuse_is_rejected() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 1
          to backend: request 1
        > post 1 request 2
          rejected: driver: connection id 1 is in use
        > get 1
          rejected: driver: connection id 1 is in use
        > abandon 7
          rejected: driver: stream 7 does not exist
        > abandon standalone
          rejected: driver: stream standalone does not exist
        ",
    );
}

#[test]
fn json_format_becomes_sse_unless_the_response_comes_first() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 json request 7
          to backend: request 7
        > backend response 7
          answer 1: response 7
          close 1: Complete
        > closed 1 through 1
        > post 2 json request 8 token t
          to backend: request 8 token t
        > backend progress t
          to 2: 1/1 progress t
        > backend response 8
          to 2: 2/1 response 8
          close 2: Complete
        ",
    );
}

#[test]
fn unacknowledged_json_response_is_reported_as_lost() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 json request 7
          to backend: request 7
        > backend response 7
          answer 1: response 7
          close 1: Complete
        > closed 1
          report ResponseLost { stream: Request(0) }
        > post 2 json request 8
          to backend: request 8
        > closed 2
          report ResponseLost { stream: Request(1) }
        > post 3 json request 9
          to backend: request 9
        > post cancelled 9
          to backend: cancelled 9
          close 3: Cancelled
        > closed 3
        ",
    );
}

#[test]
fn client_response_is_forwarded_once() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend request q1
          to 1: 1 request q1
        > backend request q2
          to 1: 2 request q2
        > post response q1
          to backend: response q1
        > post response q1
          report Undeliverable { id: Some(\"q1\"), reason: UnknownServerRequest }
        > post error q2
          to backend: error q2
        > post null-error
          report Undeliverable { id: None, reason: UnknownServerRequest }
        > post notification
          to backend: notification
        > post progress t
          to backend: progress t
        ",
    );
}

#[test]
fn request_cancelled_earlier_in_its_batch_is_not_forwarded() {
    check_live(
        "2025-03-26",
        Config::default(),
        "
        > post 1 batch [cancelled 1, request 1]
          to backend: cancelled 1
          close 1: Cancelled
        ",
    );
}
