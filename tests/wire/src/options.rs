//! The options with which the program does what a world's knobs say.

use std::path::Path;
use std::time::Duration;

use rejoin_core::{Priming, Surplus, Unrelated};

use crate::knobs::Knobs;

/// The most that is written to the journals of a world.
const JOURNALS_MAX: &str = "64GiB";

/// Returns the options for a world whose journals go to a folder.
pub(crate) fn options(knobs: &Knobs, journals: &Path) -> Vec<String> {
    let (settings, http) = (knobs.settings(), knobs.http_settings());
    let config = &settings.session;
    let mut options = vec![
        format!("--journal={}", journals.display()),
        format!("--max-journal={JOURNALS_MAX}"),
        format!("--json-responses={}", http.json_responses),
        format!("--recycle-retry={}ms", http.recycle_retry.as_millis()),
        format!("--window={}", config.window),
        format!("--surplus={}", surplus(config.surplus)),
        format!("--priming={}", priming(config.priming)),
        format!("--unrelated={}", unrelated(config.unrelated)),
    ];
    let timeouts = [
        ("keep-alive", http.keep_alive),
        ("recycle-after", http.recycle_after),
        ("idle-timeout", config.idle_timeout),
        ("init-timeout", config.init_timeout),
        ("unused-timeout", settings.unused_timeout),
        ("retention", config.retention),
        ("tombstone-timeout", config.tombstone_timeout),
        ("cancelled-timeout", config.cancelled_timeout),
        ("orphan-timeout", config.orphan_timeout),
        ("listen-timeout", config.listen_timeout),
        ("answer-timeout", config.answer_timeout),
        ("stall-timeout-min", Some(config.stall_timeout_min)),
        ("stall-timeout-max", config.stall_timeout_max),
        ("hold-timeout", config.hold_timeout),
        ("stall-limit", config.stall_limit),
    ];
    options.extend(timeouts.map(|(name, timeout)| format!("--{name}={}", span(timeout))));
    let limits = [
        ("max-queue", settings.queue_max),
        ("max-pending", config.pending_max),
        ("max-asked", config.asked_max),
        ("max-streams", config.streams_max),
        ("max-connections", config.connections_max),
        ("max-batch", config.batch_max),
        ("max-message", config.message_bytes_max),
        ("max-stream-events", config.stream_events_max),
        ("max-stream-bytes", config.stream_bytes_max),
        ("window-bytes", config.window_bytes_max),
        ("max-session-bytes", config.session_bytes_max),
        ("max-untaken", config.untaken_max),
        ("max-taken", config.taken_max),
        ("max-tombstones", config.tombstones_max),
        ("max-cancelled", config.cancelled_max),
        ("max-shadows", config.shadows_max),
    ];
    options.extend(limits.map(|(name, limit)| format!("--{name}={limit}")));
    options
}

/// Whole milliseconds, which is what the journal has, too.
fn span(timeout: Option<Duration>) -> String {
    timeout.map_or("never".to_owned(), |timeout| format!("{}ms", timeout.as_millis()))
}

fn surplus(surplus: Surplus) -> &'static str {
    match surplus {
        Surplus::Shadow => "shadow",
        Surplus::Takeover => "takeover",
        Surplus::Conflict => "conflict",
    }
}

fn priming(priming: Priming) -> &'static str {
    match priming {
        Priming::ByRevision => "by-revision",
        Priming::Always => "always",
        Priming::Never => "never",
    }
}

fn unrelated(unrelated: Unrelated) -> &'static str {
    match unrelated {
        Unrelated::Standalone => "standalone",
        Unrelated::SoleRequest => "sole-request",
    }
}
