//! The options of `rejoin serve`. Each is defined once, and is a flag, an environment variable
//! and a key of the configuration file.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    LogLevel, ProgramConfig,
    choices::{ConcurrentGetArg, LogFormatArg, PrimingArg, UnrelatedRoutingArg},
    values::{
        EnvVariable, HumanDuration, Listen, OptionalDir, OptionalHeader, OptionalLimit, RateLimit,
        Size, Switch, Timeout,
    },
};

/// Defines the options as `name: type => path of its field in the configuration`.
macro_rules! options {
    ($($heading:literal {
        $($(#[doc = $doc:literal])* $name:ident: $type:ty => $($path:ident).+;)*
    })*) => {
        /// The options that are set in one source: flags and environment, or the file.
        #[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct Options {
            $($(
                $(#[doc = $doc])*
                #[arg(long, help_heading = $heading)]
                $name: Option<$type>,
            )*)*
        }

        impl Options {
            /// Fills options that are unset here from `fallback`.
            pub(super) fn or(self, fallback: Self) -> Self {
                Self { $($($name: self.$name.or(fallback.$name),)*)* }
            }

            /// Overwrites the fields of `config` whose options are set.
            pub(super) fn apply(self, config: &mut ProgramConfig) {
                $($(
                    if let Some(value) = self.$name {
                        config.$($path).+ = value.into();
                    }
                )*)*
            }

            /// Returns every option as `config` has it.
            pub(super) fn from_config(config: &ProgramConfig) -> Self {
                Self { $($($name: Some(config.$($path).+.clone().into()),)*)* }
            }
        }

        /// The name of each option, and of its field in the configuration.
        pub(super) const FIELDS: &[(&str, &str)] = &[
            $($((stringify!($name), last!($($path),+)),)*)*
        ];
    };
}

macro_rules! last {
    ($last:ident) => { stringify!($last) };
    ($first:ident, $($rest:ident),+) => { last!($($rest),+) };
}

impl Options {
    /// Sets the log level from `fallback` if it is unset.
    pub(super) fn set_default_log_level(
        &mut self,
        fallback: impl FnOnce() -> anyhow::Result<Option<LogLevel>>,
    ) -> anyhow::Result<()> {
        if self.log_level.is_none() {
            self.log_level = fallback()?;
        }
        Ok(())
    }

    /// Returns whether `max-connections` is set.
    pub(super) fn has_max_connections(&self) -> bool {
        self.max_connections.is_some()
    }

    /// Returns whether a command is set.
    pub(super) fn has_command(&self) -> bool {
        self.command.as_ref().is_some_and(|command| !command.is_empty())
    }
}

options! {
    "Server" {
        /// Address to listen on: `HOST:PORT`, or a port on the loopback address. Port 0 picks a free one
        listen: Listen => listen;
        /// URL path of the MCP endpoint
        path: String => path;
        /// Additional allowed `Host` header: a host name, for every port or as `HOST:PORT`. `*.example.com` matches subdomains, `*` any name. Loopback names and the address of --listen are always allowed. Repeatable
        allow_host: Vec<String> => http.hosts;
        /// Additional allowed `Origin` of web pages, such as `https://example.com`; `*` matches any. Loopback origins and those of allowed hosts are always allowed. Repeatable
        allow_origin: Vec<String> => http.origins;
        /// Header set by the reverse proxy whose last entry is the client's IP address, such as `X-Forwarded-For`; or `off`. Use it only if all requests come through that proxy: otherwise clients can forge their address
        client_ip_header: OptionalHeader => http.client_ip_header;
        /// Send CORS headers, so that web pages of allowed origins can read responses
        cors: Switch => http.cors;
        /// Respond with a single JSON object instead of an SSE stream where possible
        json_responses: Switch => http.json_responses;
        /// Maximum size of a request body. Each message in it is also limited by --max-message
        max_request_body: Size => http.body_bytes_max;
        /// Maximum memory for messages of all clients, from their first byte until the server has read them
        max_request_memory: Size => http.request_memory_max;
        /// Timeout for receiving a request body
        body_timeout: HumanDuration => http.body_timeout;
        /// Timeout for receiving the headers of a request, from its first byte
        header_timeout: HumanDuration => header_timeout;
        /// Timeout of an idle connection between two requests (HTTP keep-alive). Set it higher than that of the proxy in front
        connection_idle_timeout: HumanDuration => connection_idle_timeout;
        /// Interval between keep-alive comments on an idle SSE stream; or `never`
        sse_keep_alive: Timeout => http.sse_keep_alive;
        /// Close SSE connections after this long, so that clients reconnect and resume; or `never`
        reconnect_after: Timeout => http.reconnect_after;
        /// Reconnect delay sent to clients whose connection is closed (the `retry` field of SSE)
        reconnect_delay: HumanDuration => http.reconnect_delay;
        /// Maximum number of TCP connections; further clients wait. Lowered if the limit of open files requires it
        max_connections: usize => tcp_connections_max;
        /// Time for pending requests to finish on shutdown; then they fail
        drain_timeout: HumanDuration => drain_timeout;
    }
    "Command" {
        /// Command of a stdio MCP server and its arguments. One process is started per session
        command: Vec<String> => command;
        /// Working directory of the command
        cwd: PathBuf => cwd;
        /// Environment variable of the command: `NAME=VALUE` sets it, `NAME` unsets it. Repeatable
        env: Vec<EnvVariable> => env;
        /// Time between closing stdin of the command and SIGKILL, which is sent to all processes that it started
        stop_timeout: HumanDuration => stop_timeout;
        /// Maximum number of processes started per second, or `unlimited`. Further sessions wait for up to 5 s, then get 503
        max_starts_per_second: RateLimit => starts_per_second_max;
        /// How long a process may go on starting after its client disconnected, to serve the next client with the same `initialize`; `0s` stops it immediately
        start_grace: HumanDuration => start_grace;
    }
    "Sessions" {
        /// Maximum number of sessions. With a command the default is 100, since each session has a process
        max_sessions: usize => sessions.sessions_max;
        /// Maximum number of sessions per client IP address; or `off`. Set it if untrusted clients can connect: otherwise one client can use up all sessions. Behind a proxy it needs --client-ip-header
        max_sessions_per_ip: OptionalLimit => sessions.sessions_per_ip_max;
        /// Close a session after this long without a connection if it has made no request but `initialize` and `ping`; or `never`
        unused_timeout: Timeout => sessions.unused_timeout;
        /// Close a session after this long without a client message, a pending request or a connection; or `never`
        idle_timeout: Timeout => sessions.session.idle_timeout;
        /// Timeout for the response to `initialize`; or `never`
        init_timeout: Timeout => sessions.session.init_timeout;
        /// Timeout for starting the server of a session
        start_timeout: HumanDuration => sessions.start_timeout;
        /// Timeout for the server's response to a request, regardless of progress. The request then fails and is cancelled at the server; or `never`
        request_timeout: Timeout => sessions.request_timeout;
        /// How long a client message may wait for space in the server's queue
        queue_timeout: HumanDuration => sessions.queue_timeout;
        /// Maximum number of messages queued for the server, per session
        max_queue: usize => sessions.queue_max;
        /// Maximum number of pending client requests per session
        max_pending_requests: usize => sessions.session.pending_requests_max;
        /// Maximum number of pending server requests (sampling, elicitation, roots) per session
        max_server_requests: usize => sessions.session.server_requests_max;
        /// Maximum number of request streams per session that are open or not fully sent
        max_streams: usize => sessions.session.streams_max;
        /// Maximum number of HTTP responses (SSE connections) per session
        max_session_connections: usize => sessions.session.connections_max;
        /// Maximum nesting depth of JSON messages
        max_json_depth: usize => sessions.json_depth_max;
        /// Maximum number of messages in a JSON-RPC batch
        max_batch: usize => sessions.session.batch_max;
        /// Maximum size of a message, and of a line of the command's stdout. A larger response fails its request
        max_message: Size => sessions.session.message_bytes_max;
    }
    "Streams" {
        /// How long a complete stream is kept for its client to resume; `never` for no limit
        retention: Timeout => sessions.session.retention;
        /// Maximum number of events kept per stream for replay
        max_stream_events: usize => sessions.session.stream_events_max;
        /// Maximum memory for the events kept per stream. A single event may be larger, up to --max-message
        max_stream_bytes: Size => sessions.session.stream_bytes_max;
        /// Maximum memory for the events kept per session. A single event may be larger, up to --max-message, if it is the only one
        max_session_bytes: Size => sessions.session.session_bytes_max;
        /// Maximum number of answered requests per session whose response is kept because the client has not received it
        max_retained_unacknowledged: usize => sessions.session.retained_unacknowledged_max;
        /// Maximum number of answered requests per session whose response is kept although it was sent
        max_retained_acknowledged: usize => sessions.session.retained_acknowledged_max;
        /// Maximum number of expired responses per session for which a client that resumes gets an error
        max_tombstones: usize => sessions.session.tombstones_max;
        /// How long a client that resumes an expired stream gets an error for each of its requests; `never` for no limit
        tombstone_timeout: Timeout => sessions.session.tombstone_timeout;
        /// Maximum number of cancelled requests per session that the server has not answered. More of them count towards --max-pending-requests
        max_cancelled_requests: usize => sessions.session.cancelled_requests_max;
        /// How long the id of a cancelled request without a response stays reserved; `never` for no limit
        cancelled_timeout: Timeout => sessions.session.cancelled_timeout;
        /// Cancel a pending request after this long without a connection of its client; or `never`
        orphan_timeout: Timeout => sessions.session.orphan_timeout;
        /// How long a server request (sampling, elicitation, roots) waits for a connected client; `never` for no limit
        delivery_timeout: Timeout => sessions.session.delivery_timeout;
        /// Timeout for the client's response to a server request, from its delivery; or `never`
        server_request_timeout: Timeout => sessions.session.server_request_timeout;
        /// Maximum number of standby GET connections (shadows) per session
        max_shadows: usize => sessions.session.shadows_max;
        /// What to do with a second GET of a session: keep it on standby (`shadow`), let it replace the first (`take-over`), or respond with 409 (`reject`)
        concurrent_get: ConcurrentGetArg => sessions.session.concurrent_get;
        /// When a stream starts with a priming event (an event id without data): `by-revision`, `always` or `never`
        priming: PrimingArg => sessions.session.priming;
        /// Stream for server messages that belong to no request: `standalone` (the GET stream), or `sole-request` (the stream of the pending request if there is exactly one), which is the default with a command
        route_unrelated: UnrelatedRoutingArg => sessions.session.unrelated_routing;
        /// Maximum number of unacknowledged events per connection
        max_window_events: u32 => sessions.session.window_events_max;
        /// Maximum memory for unacknowledged events on all connections of a session. A single event per connection may exceed it
        max_window_bytes: Size => sessions.session.window_bytes_max;
        /// Minimum time that a client may hold back the server by not reading. A client that usually pauses for longer gets more, up to --stall-timeout-max
        stall_timeout_min: HumanDuration => sessions.session.stall_timeout_min;
        /// Maximum time that a client may hold back the server by not reading; `never` for no limit
        stall_timeout_max: Timeout => sessions.session.stall_timeout_max;
        /// The same maximum while other requests of the session are pending, which would have to wait, too; `never` for no separate limit. With a command the default is 1s
        hold_timeout: Timeout => sessions.session.hold_timeout;
        /// Disconnect a client that has read nothing for this long while events wait for it; or `never`
        stall_disconnect_timeout: Timeout => sessions.session.stall_disconnect_timeout;
    }
    "Log" {
        /// Log format: `human` or `json`
        log_format: LogFormatArg => log_format;
        /// Log level: off, error, warn, info, debug or trace, also per module as in `info,rejoin=debug`. Falls back to `RUST_LOG`
        log_level: LogLevel => log_level;
        /// Directory for journals of sessions, without message bodies, for `rejoin replay`; or `off`
        journal: OptionalDir => journal;
        /// Maximum total size of the journals that this process writes
        max_journal: Size => journal_bytes_max;
    }
}
