//! Alarms: panics of a thread, and errors that the shell logs there, which nobody else would
//! hear of.

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
    /// What was wrong first on this thread.
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Hears of whatever panics on this thread, and of errors in the log.
#[derive(Debug)]
pub(crate) struct Alarm {
    first: &'static LocalKey<RefCell<Option<String>>>,
    _log: DefaultGuard,
}

impl Alarm {
    /// Begins to listen, on this thread.
    pub(crate) fn listen() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                ring(format!("it panicked: {panic}"));
                usual(panic);
            }));
        });
        FIRST.take();
        Self { first: &FIRST, _log: set_default(Listener) }
    }

    /// Takes what was wrong first.
    pub(crate) fn rung(&self) -> Option<String> {
        self.first.take()
    }
}

fn ring(what: String) {
    // A thread that is ending has no world any more.
    let _ = FIRST.try_with(|first| first.borrow_mut().get_or_insert(what).len());
}

/// Listens to the log for errors, of which a shell that works has none, whatever its peers do,
/// but for one.
struct Listener;

/// It may be the backend's fault that it is given up; the judge sees whether it is.
const BACKENDS_FAULT: &str = "backend stopped reading its messages";

impl Subscriber for Listener {
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
        let mut line = Line("the log says:".to_owned());
        event.record(&mut line);
        if !line.0.contains(BACKENDS_FAULT) {
            ring(line.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to memory does not fail.
        let _ = write!(self.0, " {field}={value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_and_an_error_in_the_log_ring() {
        let alarm = Alarm::listen();
        assert_eq!(alarm.rung(), None);
        tracing::warn!("not so bad");
        assert_eq!(alarm.rung(), None);
        tracing::error!("{BACKENDS_FAULT}: it is given up");
        assert_eq!(alarm.rung(), None);
        tracing::error!(session = 7, "broken");
        tracing::error!("later");
        let rung = alarm.rung().unwrap();
        assert!(rung.contains("broken") && rung.contains('7') && !rung.contains("later"), "{rung}");
        let task = tokio::spawn(async { assert!(std::env::args().count() == 0, "in a task") });
        assert!(task.await.is_err());
        assert!(alarm.rung().unwrap().contains("in a task"));
    }
}
