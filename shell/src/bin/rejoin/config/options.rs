//! The options: each is defined once, and is a flag, an environment variable and a key
//! of the configuration file.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    LogLevel, ProgramConfig,
    values::{
        ConcurrentGetWord, EnvVariable, HumanDuration, Listen, LogFormatWord, OptionalDir,
        OptionalHeader, OptionalLimit, PrimingWord, RateLimit, Size, Switch, Timeout,
        UnrelatedRoutingWord,
    },
};

/// Defines the options: `name: type => where it goes in the configuration`.
macro_rules! options {
    ($($heading:literal {
        $($(#[doc = $doc:literal])* $name:ident: $type:ty => $($path:ident).+;)*
    })*) => {
        /// What a user said, in one of the three places.
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
            /// Takes from `weaker` what is not said here.
            pub(super) fn or(self, weaker: Self) -> Self {
                Self { $($($name: self.$name.or(weaker.$name),)*)* }
            }

            pub(super) fn apply(self, config: &mut ProgramConfig) {
                $($(
                    if let Some(value) = self.$name {
                        config.$($path).+ = value.into();
                    }
                )*)*
            }

            /// Says all of a configuration.
            pub(super) fn of(config: &ProgramConfig) -> Self {
                Self { $($($name: Some(config.$($path).+.clone().into()),)*)* }
            }
        }

        /// The name of each option, and of the setting that it goes to.
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
    /// Says the level of the log, unless it was said.
    pub(super) fn set_default_log_level(
        &mut self,
        other: impl FnOnce() -> anyhow::Result<Option<LogLevel>>,
    ) -> anyhow::Result<()> {
        if self.log_level.is_none() {
            self.log_level = other()?;
        }
        Ok(())
    }

    /// Returns whether the number of TCP connections is given.
    pub(super) fn has_max_connections(&self) -> bool {
        self.max_connections.is_some()
    }

    /// Returns whether the server of a session is a command.
    pub(super) fn has_command(&self) -> bool {
        self.command.as_ref().is_some_and(|command| !command.is_empty())
    }
}

options! {
    "Server" {
        /// The address to listen on: `HOST:PORT`, or a port of the loopback address; port 0 is any free one
        listen: Listen => listen;
        /// The path of the endpoint
        path: String => path;
        /// A name by which clients may call, beside the loopback names and the address of `--listen`, for all ports or with one; `*.example.com` is any subdomain, `*` is any name; may be repeated
        allow_host: Vec<String> => http.hosts;
        /// An origin of web pages that may call, beside those of the loopback and of allowed hosts, like `https://example.com`; `*` is any; may be repeated
        allow_origin: Vec<String> => http.origins;
        /// The header whose last entry is the address of the client, such as `X-Forwarded-For`; or `off`. Only for a proxy in front that adds it to every request: else clients choose their address
        client_ip_header: OptionalHeader => http.client_ip_header;
        /// Whether web pages of these origins may read the answers (CORS)
        cors: Switch => http.cors;
        /// Whether calls are answered by one JSON object where that is possible
        json_responses: Switch => http.json_responses;
        /// The largest body of a request; what it carries is also bounded by --max-message
        max_request_body: Size => http.body_bytes_max;
        /// The most memory for messages of clients, from their first byte until the server has taken them
        max_request_memory: Size => http.request_memory_max;
        /// How long a client may take to send a body
        body_timeout: HumanDuration => http.body_timeout;
        /// How long a client may take to send the headers of a request, from its first byte
        header_timeout: HumanDuration => header_timeout;
        /// How long a connection is kept open between two requests (HTTP keep-alive); longer than proxies in front keep it
        connection_idle_timeout: HumanDuration => connection_idle_timeout;
        /// After how long without an event a stream gets a comment; or `never`
        sse_keep_alive: Timeout => http.sse_keep_alive;
        /// After how long a connection is ended so that its client comes back on a new one; or `never`
        reconnect_after: Timeout => http.reconnect_after;
        /// When such a client is to come back
        reconnect_delay: HumanDuration => http.reconnect_delay;
        /// The most TCP connections at a time; more wait. The default is lower where the limit of open files requires it
        max_connections: usize => connections_max;
        /// How long calls in flight may take to finish when the program is told to end
        drain_timeout: HumanDuration => drain_timeout;
    }
    "Command" {
        /// The server of each session, which speaks MCP on stdin and stdout, and its arguments
        command: Vec<String> => command;
        /// The working directory of the command
        cwd: PathBuf => cwd;
        /// `NAME=VALUE` sets a variable of the command's environment, `NAME` takes it away; may be repeated
        env: Vec<EnvVariable> => env;
        /// How long the command may take to end: then it is killed, with all that it has started
        stop_timeout: HumanDuration => stop_timeout;
        /// How many processes of the command are started in a second; others wait for up to 5 s, and more get 503; or `unlimited`
        max_starts_per_second: RateLimit => starts_per_second_max;
        /// How long the command goes on starting after its client left without an answer, for the next client with the same `initialize`; `0s` ends it at once
        start_grace: HumanDuration => start_grace;
    }
    "Sessions" {
        /// The most sessions at a time; 100 by default with a command, since each has a process of it
        max_sessions: usize => sessions.sessions_max;
        /// The most sessions of the clients at one address; or `off`. Set it where clients that do not trust each other can connect: otherwise one of them can take all sessions. Behind a proxy it needs --client-ip-header
        max_sessions_per_ip: OptionalLimit => sessions.sessions_per_ip_max;
        /// How long a session lives on that has made no request but `initialize` and `ping` and has no connection; or `never`
        unused_timeout: Timeout => sessions.unused_timeout;
        /// How long a session lives on without a message of its client, a call in flight or a connection; or `never`
        idle_timeout: Timeout => sessions.session.idle_timeout;
        /// How long it may take from the first message to the answer to `initialize`; or `never`
        init_timeout: Timeout => sessions.session.init_timeout;
        /// How long a server may take to start for a session
        start_timeout: HumanDuration => sessions.start_timeout;
        /// How long the server may take to answer a call, progress or not; then the call fails, and the server is told to cancel it; or `never`
        request_timeout: Timeout => sessions.request_timeout;
        /// How long a message waits while the server takes none
        queue_timeout: HumanDuration => sessions.queue_timeout;
        /// The most messages of a session that wait for the server
        max_queue: usize => sessions.queue_max;
        /// The most calls of a session in flight
        max_pending_requests: usize => sessions.session.pending_requests_max;
        /// The most calls of the server that wait for the client's answer
        max_server_requests: usize => sessions.session.server_requests_max;
        /// The most request streams of a session that are open or still being sent
        max_streams: usize => sessions.session.streams_max;
        /// The most connections of a session
        max_session_connections: usize => sessions.session.connections_max;
        /// How deep the JSON of a message may be nested, the message itself included
        max_json_depth: usize => sessions.json_depth_max;
        /// The most messages in a batch
        max_batch: usize => sessions.session.batch_max;
        /// The largest message, and the longest line of the command: a larger answer fails its call
        max_message: Size => sessions.session.message_bytes_max;
    }
    "Streams" {
        /// How long a complete stream is kept for a client to come back; or `never`
        retention: Timeout => sessions.session.retention;
        /// The most events that are kept of a stream
        max_stream_events: usize => sessions.session.stream_events_max;
        /// The most memory for the events that are kept of a stream; one event may be larger, up to --max-message
        max_stream_bytes: Size => sessions.session.stream_bytes_max;
        /// The most memory for the events that are kept of a session; one event may be larger, up to --max-message, if no other is kept
        max_session_bytes: Size => sessions.session.session_bytes_max;
        /// The most calls whose complete streams are kept and whose end was not taken
        max_retained_unacknowledged: usize => sessions.session.retained_unacknowledged_max;
        /// The most calls whose complete streams are kept and whose end was taken
        max_retained_acknowledged: usize => sessions.session.retained_acknowledged_max;
        /// The most answers of which a tombstone is kept
        max_tombstones: usize => sessions.session.tombstones_max;
        /// How long a tombstone is kept; or `never`
        tombstone_timeout: Timeout => sessions.session.tombstone_timeout;
        /// The most cancelled calls without an answer beside those in flight; more take places of --max-pending-requests
        max_cancelled_requests: usize => sessions.session.cancelled_requests_max;
        /// How long a cancelled call counts that is not answered, and its id is in use; or `never`
        cancelled_timeout: Timeout => sessions.session.cancelled_timeout;
        /// How long a call goes on without a connection; or `never`
        orphan_timeout: Timeout => sessions.session.orphan_timeout;
        /// How long a call of the server waits for a connection; or `never`
        delivery_timeout: Timeout => sessions.session.delivery_timeout;
        /// How long a call of the server that was delivered waits for the client's answer; or `never`
        server_request_timeout: Timeout => sessions.session.server_request_timeout;
        /// The most surplus GETs that are kept waiting
        max_shadows: usize => sessions.session.shadows_max;
        /// What becomes of a second GET: shadow, takeover or conflict
        concurrent_get: ConcurrentGetWord => sessions.session.concurrent_get;
        /// When a stream begins with a priming event: by-revision, always or never
        priming: PrimingWord => sessions.session.priming;
        /// Where messages of the server go that name no call: standalone or sole-request, which is the default with a command
        route_unrelated: UnrelatedRoutingWord => sessions.session.unrelated_routing;
        /// The most events that a connection holds
        max_window_events: u32 => sessions.session.window_events_max;
        /// The most memory for what the connections of a session hold together; one event of each may be more, until a client that has stopped reading is disconnected
        max_window_bytes: Size => sessions.session.window_bytes_max;
        /// How long any reader may take nothing and still slow the server down; how long one may follows from the pauses that it makes
        stall_timeout_min: HumanDuration => sessions.session.stall_timeout_min;
        /// How long no reader may take nothing and still slow the server down; or `never`
        stall_timeout_max: Timeout => sessions.session.stall_timeout_max;
        /// How long a reader may take nothing and still slow down a server that has other calls in flight; or `never`, which is the default without a command; 1s with one
        hold_timeout: Timeout => sessions.session.hold_timeout;
        /// How long a reader may take nothing and stay connected; or `never`
        stall_disconnect_timeout: Timeout => sessions.session.stall_disconnect_timeout;
    }
    "Log" {
        /// How lines of the log are written: human or json
        log_format: LogFormatWord => log_format;
        /// What is logged: off, error, warn, info, debug or trace, also by module as in `info,rejoin=debug`; `RUST_LOG` is used where nothing else is given
        log_level: LogLevel => log_level;
        /// A folder for journals, one file a session, for `rejoin replay`; or `off`
        journal: OptionalDir => journal;
        /// The most that is written to journals, over all sessions
        max_journal: Size => journal_bytes_max;
    }
}
