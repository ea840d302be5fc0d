//! Command-line options that configure the program with the parameters of a simulation.

use std::path::Path;
use std::time::Duration;

use rejoin_core::{ConcurrentGet, Priming, UnrelatedRouting};

use crate::parameters::Parameters;

/// Maximum size of the journals of a simulation.
const JOURNALS_MAX: &str = "64GiB";

/// Returns the options for a simulation whose journals go to `journals`.
pub(crate) fn options(parameters: &Parameters, journals: &Path) -> Vec<String> {
    let (manager, http) = (parameters.manager_config(), parameters.http_config());
    let config = &manager.session;
    let mut options = vec![
        format!("--journal={}", journals.display()),
        format!("--max-journal={JOURNALS_MAX}"),
        format!("--json-responses={}", http.json_responses),
        format!("--reconnect-delay={}ms", http.reconnect_delay.as_millis()),
        format!("--max-window-events={}", config.window_events_max),
        format!("--concurrent-get={}", concurrent_get(config.concurrent_get)),
        format!("--priming={}", priming(config.priming)),
        format!("--route-unrelated={}", unrelated(config.unrelated_routing)),
    ];
    let timeouts = [
        ("sse-keep-alive", http.sse_keep_alive),
        ("reconnect-after", http.reconnect_after),
        ("idle-timeout", config.idle_timeout),
        ("init-timeout", config.init_timeout),
        ("unused-timeout", manager.unused_timeout),
        ("retention", config.retention),
        ("tombstone-timeout", config.tombstone_timeout),
        ("cancelled-timeout", config.cancelled_timeout),
        ("orphan-timeout", config.orphan_timeout),
        ("delivery-timeout", config.delivery_timeout),
        ("server-request-timeout", config.server_request_timeout),
        ("stall-timeout-min", Some(config.stall_timeout_min)),
        ("stall-timeout-max", config.stall_timeout_max),
        ("hold-timeout", config.hold_timeout),
        ("stall-disconnect-timeout", config.stall_disconnect_timeout),
    ];
    options.extend(timeouts.map(|(name, timeout)| format!("--{name}={}", millis(timeout))));
    let limits = [
        ("max-memory", manager.memory_bytes_max),
        ("max-request-body", http.body_bytes_max),
        ("max-queue", manager.queue_max),
        ("max-pending-requests", config.pending_requests_max),
        ("max-server-requests", config.server_requests_max),
        ("max-streams", config.streams_max),
        ("max-session-connections", config.connections_max),
        ("max-batch", config.batch_max),
        ("max-message", config.message_bytes_max),
        ("max-stream-events", config.stream_events_max),
        ("max-stream-bytes", config.stream_bytes_max),
        ("max-session-bytes", config.session_bytes_max),
        ("max-retained-unacknowledged", config.retained_unacknowledged_max),
        ("max-retained-acknowledged", config.retained_acknowledged_max),
        ("max-tombstones", config.tombstones_max),
        ("max-cancelled-requests", config.cancelled_requests_max),
        ("max-shadows", config.shadows_max),
    ];
    options.extend(limits.map(|(name, limit)| format!("--{name}={limit}")));
    options
}

/// Formats whole milliseconds, the resolution of the journal.
fn millis(timeout: Option<Duration>) -> String {
    timeout.map_or("never".to_owned(), |timeout| format!("{}ms", timeout.as_millis()))
}

fn concurrent_get(policy: ConcurrentGet) -> &'static str {
    match policy {
        ConcurrentGet::Shadow => "shadow",
        ConcurrentGet::TakeOver => "take-over",
        ConcurrentGet::Reject => "reject",
    }
}

fn priming(priming: Priming) -> &'static str {
    match priming {
        Priming::ByRevision => "by-revision",
        Priming::Always => "always",
        Priming::Never => "never",
    }
}

fn unrelated(unrelated: UnrelatedRouting) -> &'static str {
    match unrelated {
        UnrelatedRouting::Standalone => "standalone",
        UnrelatedRouting::SoleRequest => "sole-request",
    }
}
