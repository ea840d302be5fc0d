//! The log monitor: fails a simulation on panics, and on errors that the shell logs.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::panic;
use std::sync::Once;
use std::thread::LocalKey;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    /// The first error on this thread.
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Records panics on this thread, and errors in the log.
#[derive(Debug)]
pub(crate) struct LogMonitor {
    first: &'static LocalKey<RefCell<Option<String>>>,
    _log: DefaultGuard,
}

impl LogMonitor {
    /// Starts to monitor this thread.
    pub(crate) fn start() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let default_hook = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                report(format!("it panicked: {panic}"));
                default_hook(panic);
            }));
        });
        FIRST.take();
        Self { first: &FIRST, _log: set_default(ErrorSubscriber) }
    }

    /// Takes the first error.
    pub(crate) fn take_error(&self) -> Option<String> {
        self.first.take()
    }
}

fn report(message: String) {
    // A thread that is exiting is not part of a simulation any more.
    let _ = FIRST.try_with(|first| first.borrow_mut().get_or_insert(message).len());
}

/// Records errors in the log. A correct shell logs none, whatever its peers do, with one
/// exception.
struct ErrorSubscriber;

/// Closing a backend may be the backend's own fault; the checker decides whether it is.
const EXPECTED_ERROR: &str = "backend stopped reading its messages";

impl Subscriber for ErrorSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line("error in the log:".to_owned());
        event.record(&mut line);
        if !line.0.contains(EXPECTED_ERROR) {
            report(line.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {field}={value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reports_panics_in_tasks_and_logged_errors() {
        let monitor = LogMonitor::start();
        assert_eq!(monitor.take_error(), None);
        tracing::warn!("only a warning");
        assert_eq!(monitor.take_error(), None);
        tracing::error!("{EXPECTED_ERROR}; closing session");
        assert_eq!(monitor.take_error(), None);
        tracing::error!(session = 7, "broken");
        tracing::error!("later");
        let error = monitor.take_error().unwrap();
        assert!(
            error.contains("broken") && error.contains('7') && !error.contains("later"),
            "{error}"
        );
        let task = tokio::spawn(async { assert!(std::env::args().count() == 0, "in a task") });
        assert!(task.await.is_err());
        assert!(monitor.take_error().unwrap().contains("in a task"));
    }
}
