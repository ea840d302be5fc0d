//! Configuration of a session from that of rmcp.

use rejoin_core::{Config, Priming};
use rmcp::transport::streamable_http_server::session::local::SessionConfig;

/// Returns the configuration of a session, with the settings of rmcp.
pub(super) fn with_rmcp(config: &Config, rmcp: &SessionConfig) -> Config {
    let mut config = config.clone();
    config.window_events_max = u32::try_from(rmcp.channel_capacity).unwrap_or(u32::MAX);
    config.idle_timeout = rmcp.keep_alive;
    config.init_timeout = rmcp.init_timeout;
    config.retention = Some(rmcp.completed_cache_ttl);
    config.priming = if rmcp.sse_retry.is_some() { Priming::Always } else { Priming::Never };
    config
}
