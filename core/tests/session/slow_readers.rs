//! Slow readers: whatever their pace, they miss nothing while their senders wait.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what is not as expected fails the test"
)]

use std::collections::VecDeque;

use proptest::prelude::*;
use rejoin_core::Config;

use crate::script::Run;

/// Calls of one session: call `n` has request and stream `n`, token `tn` and connection
/// `n + 1`.
struct Calls {
    run: Run,
    calls: Vec<Call>,
}

#[derive(Clone, Default)]
struct Call {
    /// How many reports of progress there were.
    reported: u64,
    /// What its connection was sent and did not take.
    in_hand: VecDeque<u64>,
    /// How many reports were taken.
    taken: u64,
    /// Whether its sender has to wait.
    is_held: bool,
}

impl Calls {
    fn open(count: usize, config: Config) -> Self {
        let mut calls = Self { run: Run::live("2025-06-18", config), calls: Vec::new() };
        // Connection 0 is that of `initialize`, and streams begin with 0.
        for call in 0..count {
            calls.calls.push(Call::default());
            calls.step(&format!("> post {} request {call} token t{call}", call + 1));
        }
        calls
    }

    /// Runs an input. Nobody may miss anything.
    fn step(&mut self, input: &str) {
        for line in self.run.step(input) {
            let (verb, rest) = line.split_once(' ').unwrap();
            match verb {
                "to" if rest.starts_with("backend: ") => {}
                "to" => {
                    let (connection, what) = rest.split_once(": ").unwrap();
                    let what = what.trim_start_matches("replay ");
                    let (index, _) = what.split_once('/').unwrap_or_else(|| panic!("{line}"));
                    let connection: usize = connection.parse().unwrap();
                    self.calls[connection - 1].in_hand.push_back(index.parse().unwrap());
                }
                "hold" => self.calls[rest.parse::<usize>().unwrap()].is_held = true,
                "release" => self.calls[rest.parse::<usize>().unwrap()].is_held = false,
                _ => panic!("{line}"),
            }
        }
    }

    /// Reports progress of a call.
    fn report(&mut self, call: usize, bytes: usize) {
        self.calls[call].reported += 1;
        self.step(&format!("> backend progress t{call} ({bytes} bytes)"));
    }

    /// Lets so many milliseconds pass, and a reader take one event, if it was sent any.
    fn take(&mut self, after: u64, call: usize) {
        let Some(index) = self.calls[call].in_hand.pop_front() else {
            return self.step(&format!("> +{after}ms tick"));
        };
        self.calls[call].taken += 1;
        assert_eq!(index, self.calls[call].taken, "on connection {}", call + 1);
        self.step(&format!("> +{after}ms taken {} through {index}", call + 1));
    }
}

#[test]
fn readers_of_many_calls_at_once_miss_nothing() {
    const CALLS: usize = 33;
    const EVENTS: u64 = 100;
    // Together they say twice as much as the session may keep.
    const BYTES: usize = 10_000;
    let mut calls = Calls::open(CALLS, Config::default());
    while calls.calls.iter().any(|call| call.taken < EVENTS) {
        for call in 0..CALLS {
            while calls.calls[call].reported < EVENTS && !calls.calls[call].is_held {
                calls.report(call, BYTES);
            }
        }
        for call in 0..CALLS {
            calls.take(1, call);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever it takes at a time: a reader that stalls loses what is more than its log holds.
    #[test]
    fn a_steady_reader_never_stalls(
        pause in 1_u64..=5_000,
        bursts in proptest::collection::vec(1_usize..=20, 60),
        window in 1_u32..=20,
        ahead in 1_usize..=40,
    ) {
        let config = Config { stream_events_max: 1, window_events_max: window, ..Config::default() };
        let mut calls = Calls::open(1, config);
        for _ in 0..ahead {
            calls.report(0, 0);
        }
        for (nth, burst) in bursts.into_iter().enumerate() {
            let more = u64::try_from(nth).unwrap() % pause;
            calls.step(&format!("> +{}ms tick", pause - 1 - more));
            calls.report(0, 0);
            let mut after = more + 1;
            for _ in 0..burst {
                calls.take(after, 0);
                calls.report(0, 0);
                after = 0;
            }
        }
    }
}
