//! Slow readers: at any pace, they miss nothing as long as their senders wait.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::VecDeque;

use proptest::prelude::*;
use rejoin_core::Config;

use crate::script::Run;

/// The readers of one session: reader `n` has request and stream `n`, token `tn` and
/// connection `n + 1`.
struct Readers {
    run: Run,
    readers: Vec<Reader>,
}

#[derive(Clone, Default)]
struct Reader {
    /// Progress notifications that the backend has sent.
    sent: u64,
    /// Indexes of the unacknowledged events.
    unacknowledged: VecDeque<u64>,
    /// Events that were acknowledged.
    acknowledged: u64,
    /// Whether the sender is held.
    is_held: bool,
}

impl Readers {
    fn open(count: usize, config: Config) -> Self {
        let mut readers = Self { run: Run::live("2025-06-18", config), readers: Vec::new() };
        // Connection 0 was that of `initialize`; stream numbers start at 0.
        for reader in 0..count {
            readers.readers.push(Reader::default());
            readers.step(&format!("> post {} request {reader} token t{reader}", reader + 1));
        }
        readers
    }

    /// Applies an input. Fails if a reader misses an event.
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
                    self.readers[connection - 1].unacknowledged.push_back(index.parse().unwrap());
                }
                "hold" => self.readers[rest.parse::<usize>().unwrap()].is_held = true,
                "release" => self.readers[rest.parse::<usize>().unwrap()].is_held = false,
                _ => panic!("{line}"),
            }
        }
    }

    /// Sends a progress notification to a reader.
    fn send(&mut self, reader: usize, bytes: usize) {
        self.readers[reader].sent += 1;
        self.step(&format!("> backend progress t{reader} ({bytes} bytes)"));
    }

    /// Waits `after` milliseconds, then acknowledges one event of a reader, if it has one.
    fn acknowledge(&mut self, after: u64, reader: usize) {
        let Some(index) = self.readers[reader].unacknowledged.pop_front() else {
            return self.step(&format!("> +{after}ms tick"));
        };
        self.readers[reader].acknowledged += 1;
        assert_eq!(index, self.readers[reader].acknowledged, "on connection {}", reader + 1);
        self.step(&format!("> +{after}ms ack {} through {index}", reader + 1));
    }
}

#[test]
fn readers_of_many_streams_miss_nothing() {
    const READERS: usize = 33;
    const EVENTS: u64 = 100;
    // All events together are larger than `session_bytes_max`.
    const BYTES: usize = 10_000;
    const ROUNDS_MAX: usize = 10_000;
    let mut readers = Readers::open(READERS, Config::default());
    let mut rounds = 0;
    while readers.readers.iter().any(|reader| reader.acknowledged < EVENTS) {
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "a reader gets no event, or a sender is never released");
        for reader in 0..READERS {
            while readers.readers[reader].sent < EVENTS && !readers.readers[reader].is_held {
                readers.send(reader, BYTES);
            }
        }
        for reader in 0..READERS {
            readers.acknowledge(1, reader);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A reader that stalled would miss events: its log is limited to one.
    #[test]
    fn steady_reader_never_stalls(
        pause in 1_u64..=5_000,
        bursts in proptest::collection::vec(1_usize..=20, 60),
        window in 1_u32..=20,
        ahead in 1_usize..=40,
    ) {
        let config = config! { stream_events_max: 1, window_events_max: window };
        let mut readers = Readers::open(1, config);
        for _ in 0..ahead {
            readers.send(0, 0);
        }
        for (nth, burst) in bursts.into_iter().enumerate() {
            let more = u64::try_from(nth).unwrap() % pause;
            readers.step(&format!("> +{}ms tick", pause - 1 - more));
            readers.send(0, 0);
            let mut after = more + 1;
            for _ in 0..burst {
                readers.acknowledge(after, 0);
                readers.send(0, 0);
                after = 0;
            }
        }
    }
}
