//! A bounded queue of log lines and the thread that writes them, so that a slow reader of the log
//! does not block the program.
//!
//! `tracing-appender` is not used: it bounds its queue by lines instead of bytes, and neither counts
//! nor repeats lines that could not be written.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::rate_limit::RateLimits;

/// Maximum size of the queue in bytes. Lines beyond it are dropped.
const BYTES_MAX: usize = 1 << 20;

/// Delay before the next attempt to write to a full non-blocking output.
const WRITE_PAUSE: Duration = Duration::from_millis(10);

/// Delay before suppressed lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Complete lines that wait for the writer. Clones share the queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// At most [`BYTES_MAX`].
    lines: Vec<u8>,
    /// Number of dropped lines that are not reported yet.
    dropped: u64,
    /// Whether the writer has lines that are not written yet.
    is_writing: bool,
    /// Whether suppressed lines have to be reported.
    has_suppressed: bool,
}

/// The next work of the writer.
enum Work {
    Write,
    ReportSuppressed,
}

impl Queue {
    /// Appends a line, or drops it if the queue is full.
    fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
        if state.lines.len() + line.len() > BYTES_MAX {
            state.dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Schedules a report of suppressed lines.
    pub(super) fn report_suppressed(&self) {
        self.0.state.lock().has_suppressed = true;
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, up to `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        let mut state = self.0.state.lock();
        while state.is_writing || !state.lines.is_empty() {
            if self.0.changed.wait_until(&mut state, end.into_std()).timed_out() {
                return;
            }
        }
    }

    /// Waits for work, and moves all queued lines to `lines`.
    fn wait_for_work(&self, lines: &mut Vec<u8>) -> Work {
        lines.clear();
        let mut state = self.0.state.lock();
        state.is_writing = false;
        self.0.changed.notify_all();
        let mut report_at = None;
        while state.lines.is_empty() {
            if !state.has_suppressed {
                self.0.changed.wait(&mut state);
                continue;
            }
            let report_at = *report_at.get_or_insert_with(|| Instant::now() + REPORT_INTERVAL);
            if self.0.changed.wait_until(&mut state, report_at.into_std()).timed_out() {
                state.has_suppressed = false;
                return Work::ReportSuppressed;
            }
        }
        mem::swap(lines, &mut state.lines);
        state.is_writing = true;
        Work::Write
    }

    /// Counts `lost` lines as dropped. If it is 0, returns the total number of lines dropped since
    /// the last call that returned it.
    fn count_unwritten(&self, lost: u64) -> u64 {
        let mut state = self.0.state.lock();
        state.dropped += lost;
        if lost > 0 { 0 } else { mem::take(&mut state.dropped) }
    }
}

/// Starts the thread that writes the lines.
pub(super) fn start_writer(
    mut output: impl Write + Send + 'static,
    queue: Queue,
    limits: RateLimits,
) -> io::Result<()> {
    let write = move || {
        let mut lines = Vec::new();
        loop {
            match queue.wait_for_work(&mut lines) {
                Work::ReportSuppressed => limits.report(),
                Work::Write => {
                    let dropped = queue.count_unwritten(write_lines(&mut output, &lines));
                    if dropped > 0 {
                        tracing::warn!(
                            target: super::TARGET,
                            lines = dropped,
                            "log lines dropped: the output is too slow or failed",
                        );
                    }
                }
            }
        }
    };
    thread::Builder::new().name("rejoin-log".to_owned()).spawn(write)?;
    Ok(())
}

/// Writes lines. Returns the number of lines that were not written.
#[expect(clippy::disallowed_methods, reason = "stderr has no readiness event")]
fn write_lines(output: &mut impl Write, mut lines: &[u8]) -> u64 {
    while !lines.is_empty() {
        match output.write(lines) {
            Ok(0) => break,
            Ok(length) => lines = lines.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(WRITE_PAUSE),
            Err(_) => break,
        }
    }
    memchr::memchr_iter(b'\n', lines).count() as u64
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// A writer that enqueues one line per write.
pub(super) struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that fails after this many bytes.
    struct Failing(usize);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(self.0);
            self.0 -= length;
            if length == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(length) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unwritten_lines_are_counted() {
        assert_eq!(write_lines(&mut Failing(100), b"one\ntwo\n"), 0);
        assert_eq!(write_lines(&mut Failing(5), b"one\ntwo\n"), 1);
        assert_eq!(write_lines(&mut Failing(0), b"one\ntwo\n"), 2);
    }

    #[test]
    fn a_full_queue_drops_whole_lines_and_counts_them() {
        let queue = Queue::default();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        (0..2_000).for_each(|_| queue.push(&line));
        let mut lines = Vec::new();
        assert!(matches!(queue.wait_for_work(&mut lines), Work::Write));
        assert_eq!(lines.len(), BYTES_MAX / 1_000 * 1_000);
        assert_eq!(queue.count_unwritten(3), 0);
        assert_eq!(queue.count_unwritten(0), 2_000 - (BYTES_MAX as u64 / 1_000) + 3);
        assert_eq!(queue.count_unwritten(0), 0);
    }

    #[test]
    fn flush_gives_up_on_a_blocked_output() {
        let queue = Queue::default();
        queue.push(b"line\n");
        let started = Instant::now();
        queue.flush(Duration::from_millis(20));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
