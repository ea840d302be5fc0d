//! The standalone stream: GETs, shadows and promotion.

use rejoin_core::{ConcurrentGet, Config};

use crate::script::check_live;

#[test]
fn get_without_an_id_starts_after_the_acknowledged_index() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > backend notification
        > backend notification
        > get 1
          to 1: 1 notification
          to 1: 2 notification
        > backend notification
          to 1: 3 notification
        > closed 1 through 2
        > get 2
          to 2: 3 notification
        ",
    );
}

#[test]
fn priming_events_never_reuse_an_event_id() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > backend notification
          to 1: 1 notification
        > closed 1 through 1
        > get 2
          to 2: 2 priming
        > closed 2
        > get 3
          to 3: 3 priming
        > closed 3 through 3
        > get 4 after 0
          to 4: 1 notification
        > backend notification
          to 4: 4 notification
        ",
    );
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1 after 0
        > backend notification
          to 1: 1 notification
        > closed 1 through 1
        > get 2
          to 2: 2 priming
        ",
    );
}

#[test]
fn get_that_replays_events_is_not_primed() {
    let config = config! { stream_events_max: 1 };
    check_live(
        "2025-11-25",
        config,
        "
        > backend notification
        > backend notification
        > get 1
          to 1: 1 gap 1..=1
          to 1: 2 notification
        > closed 1 through 2
        > backend request q
        > +10s tick
          fail q: Undelivered
        > get 2
          to 2: 4 priming
        ",
    );
}

#[test]
fn concurrent_get_is_a_shadow_until_promoted() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > get 2
        > get 3
        > backend notification
          to 1: 1 notification
        > backend notification
          to 1: 2 notification
        > closed 1 through 1
          to 3: 2 notification
        > closed 2
        > closed 3 through 2
        > backend notification
        > get 4
          to 4: 3 notification
        > get 5
        > closed 4 through 3
          to 5: 4 priming
        ",
    );
}

#[test]
fn oldest_shadow_over_the_limit_is_closed() {
    let config = config! { shadows_max: 2 };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > get 2
        > get 3
        > get 4
          close 2: TooManyShadows
        > closed 1
        > backend notification
          to 4: 1 notification
        ",
    );
}

#[test]
fn concurrent_get_without_shadows_is_a_conflict() {
    for config in [config! { shadows_max: 0 }, config! { concurrent_get: ConcurrentGet::Reject }] {
        check_live(
            "2025-06-18",
            config,
            "
            > get 1
            > get 2
              rejected: client: the standalone stream already has a connection
            > backend notification
              to 1: 1 notification
            ",
        );
    }
}

#[test]
fn concurrent_get_takes_over_by_policy() {
    let config = config! { concurrent_get: ConcurrentGet::TakeOver };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > get 2
          discard 1
          to 2: 1 notification
        > ack 1 through 1
        > ack 2 through 1
        > closed 2 through 1
        > backend notification
          to 1: 2 notification
        ",
    );
}

#[test]
fn resume_takes_over_and_demotes_the_old_connection() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > backend notification
          to 1: 2 notification
        > get 2 after 1
          discard 1
          to 2: 2 notification
        > get 3 after 2
          discard 2
        > backend notification
          to 3: 3 notification
        > closed 3
          to 2: 3 notification
        > closed 2
          to 1: 3 notification
        ",
    );
    let without_shadows = config! { shadows_max: 0 };
    check_live(
        "2025-06-18",
        without_shadows,
        "
        > get 1
        > get 2 after 0
          close 1: TooManyShadows
        > closed 1
        > backend notification
          to 2: 1 notification
        ",
    );
}

#[test]
fn draining_events_move_to_the_next_connection() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > backend notification
          to 1: 1 notification
        > ack 1 through 0
        > disconnect standalone
          close 1: Requested
        > get 2
          discard 1
          to 2: 1 notification
        > ack 1 through 1
        > closed 1
        ",
    );
}

#[test]
fn discarded_gap_is_sent_again() {
    let config = config! { stream_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification
        > backend notification
        > get 1
          to 1: 1 gap 1..=1
          to 1: 2 notification
        > get 2 after 0
          discard 1
          to 2: 1 gap 1..=1
          to 2: 2 notification
        > closed 2
          to 1: 1 gap 1..=1
          to 1: 2 notification
        ",
    );
}

#[test]
fn acknowledgement_on_a_shadow_counts() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > backend notification
          to 1: 2 notification
        > ack 1 through 1
        > get 2 after 0
          discard 1
          to 2: 1 notification
          to 2: 2 notification
        > ack 1 through 2
        > closed 2
          to 1: 2 notification
        > closed 1 through 2
        > get 3
        ",
    );
}

#[test]
fn disconnecting_the_standalone_stream_closes_its_shadows() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > disconnect standalone retry 1s
        > get 1
          to 1: 0 priming
        > get 2
        > get 3
        > disconnect standalone retry 1s
          to 1: 1 priming retry 1s
          close 1: Requested
          close 2: Requested
          close 3: Requested
        > backend notification
        > closed 2
        > closed 1 through 1
        > get 4 after 1
          to 4: 2 notification
        > disconnect standalone
          close 4: Requested
        ",
    );
}
