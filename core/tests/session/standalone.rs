//! The standalone stream: GETs, shadows and who takes over.

use rejoin_core::{ConcurrentGet, Config};

use crate::script::check_live;

#[test]
fn a_get_without_an_id_starts_after_what_anyone_took() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > backend notification
        > backend notification
        > get 1
          to 1: replay 1 notification
          to 1: replay 2 notification
        > backend notification
          to 1: 3 notification
        > closed 1 through 2
        > get 2
          to 2: replay 3 notification
        ",
    );
}

#[test]
fn no_priming_event_has_an_id_that_was_used() {
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
          to 4: replay 1 notification
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
fn a_client_that_gets_an_event_at_once_needs_no_priming() {
    let config = Config { stream_events_max: 1, ..Config::default() };
    check_live(
        "2025-11-25",
        config,
        "
        > backend notification
        > backend notification
        > get 1
          to 1: gap 1..=1
          to 1: replay 2 notification
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
fn a_surplus_get_is_a_shadow_until_it_takes_over() {
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
          to 4: replay 3 notification
        > get 5
        > closed 4 through 3
          to 5: 4 priming
        ",
    );
}

#[test]
fn of_too_many_shadows_the_oldest_goes() {
    let config = Config { shadows_max: 2, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > get 2
        > get 3
        > get 4
          end 2: TooManyShadows
        > closed 1
        > backend notification
          to 4: 1 notification
        ",
    );
}

#[test]
fn without_shadows_a_surplus_get_is_a_conflict() {
    for config in [
        Config { shadows_max: 0, ..Config::default() },
        Config { concurrent_get: ConcurrentGet::Reject, ..Config::default() },
    ] {
        check_live(
            "2025-06-18",
            config,
            "
            > get 1
            > get 2
              rejected: client: the standalone stream is connected already
            > backend notification
              to 1: 1 notification
            ",
        );
    }
}

#[test]
fn by_policy_a_surplus_get_takes_over_at_once() {
    let config = Config { concurrent_get: ConcurrentGet::TakeOver, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > get 2
          discard 1
          to 2: replay 1 notification
        > taken 1 through 1
        > taken 2 through 1
        > closed 2 through 1
        > backend notification
          to 1: 2 notification
        ",
    );
}

#[test]
fn a_resume_takes_over_and_the_old_connection_becomes_a_shadow() {
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
          to 2: replay 2 notification
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
    let lonely = Config { shadows_max: 0, ..Config::default() };
    check_live(
        "2025-06-18",
        lonely,
        "
        > get 1
        > get 2 after 0
          end 1: TooManyShadows
        > closed 1
        > backend notification
          to 2: 1 notification
        ",
    );
}

#[test]
fn what_drains_is_sent_on_the_next_connection_only() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > backend notification
          to 1: 1 notification
        > taken 1 through 0
        > close_stream standalone
          end 1: Requested
        > get 2
          discard 1
          to 2: replay 1 notification
        > taken 1 through 1
        > closed 1
        ",
    );
}

#[test]
fn a_gap_that_is_discarded_is_told_again() {
    let config = Config { stream_events_max: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification
        > backend notification
        > get 1
          to 1: gap 1..=1
          to 1: replay 2 notification
        > get 2 after 0
          discard 1
          to 2: gap 1..=1
          to 2: replay 2 notification
        > closed 2
          to 1: gap 1..=1
          to 1: 2 notification
        ",
    );
}

#[test]
fn what_a_shadow_took_before_counts() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > backend notification
          to 1: 2 notification
        > taken 1 through 1
        > get 2 after 0
          discard 1
          to 2: replay 1 notification
          to 2: replay 2 notification
        > taken 1 through 2
        > closed 2
          to 1: 2 notification
        > closed 1 through 2
        > get 3
        ",
    );
}

#[test]
fn the_backend_may_close_the_standalone_stream_with_its_shadows() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > close_stream standalone retry 1s
        > get 1
          to 1: 0 priming
        > get 2
        > get 3
        > close_stream standalone retry 1s
          to 1: 1 priming retry 1s
          end 1: Requested
          end 2: Requested
          end 3: Requested
        > backend notification
        > closed 2
        > closed 1 through 1
        > get 4 after 1
          to 4: replay 2 notification
        > close_stream standalone
          end 4: Requested
        ",
    );
}
