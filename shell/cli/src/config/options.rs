//! The options of `rejoin serve`. Each is defined once, and is a flag, an environment variable
//! and a key of the configuration file.

use std::{any::TypeId, path::PathBuf};

use clap::{Arg, Args};
use serde::{Deserialize, Serialize};

use super::{
    LogFormat, LogLevel, ProgramConfig,
    choices::{ConcurrentGetArg, PrimingArg, TakeoverArg, UnrelatedRoutingArg},
    values::{
        EnvVariable, HeaderVariable, HumanDuration, Listen, OptionalAddress, OptionalDir,
        OptionalFile, OptionalHeader, OptionalLimit, OptionalListen, OptionalPath, OptionalUrl,
        RateLimit, Size, Timeout,
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

            /// Returns the name of each option that is set, and the heading of its group.
            pub(super) fn set(&self) -> Vec<(&'static str, &'static str)> {
                let mut set = Vec::new();
                $($(
                    if self.$name.is_some() {
                        set.push((stringify!($name), $heading));
                    }
                )*)*
                set
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

/// Returns the name of an option's value in the help.
pub(crate) fn value_name(option: &Arg) -> Option<&'static str> {
    let by_type = [
        (TypeId::of::<Size>(), "SIZE"),
        (TypeId::of::<HumanDuration>(), "DURATION"),
        (TypeId::of::<Timeout>(), "DURATION"),
        (TypeId::of::<usize>(), "COUNT"),
        (TypeId::of::<u32>(), "COUNT"),
        (TypeId::of::<OptionalLimit>(), "COUNT"),
        (TypeId::of::<RateLimit>(), "COUNT"),
        (TypeId::of::<bool>(), "true|false"),
        (TypeId::of::<Listen>(), "ADDRESS"),
        (TypeId::of::<OptionalListen>(), "ADDRESS"),
        (TypeId::of::<OptionalAddress>(), "ADDRESS"),
        (TypeId::of::<OptionalHeader>(), "HEADER"),
        (TypeId::of::<PathBuf>(), "DIR"),
        (TypeId::of::<OptionalDir>(), "DIR"),
        (TypeId::of::<OptionalFile>(), "FILE"),
        (TypeId::of::<OptionalPath>(), "PATH"),
        (TypeId::of::<OptionalUrl>(), "URL"),
        (TypeId::of::<EnvVariable>(), "NAME=VALUE"),
        (TypeId::of::<HeaderVariable>(), "HEADER=NAME"),
        (TypeId::of::<ConcurrentGetArg>(), "POLICY"),
        (TypeId::of::<PrimingArg>(), "POLICY"),
        (TypeId::of::<UnrelatedRoutingArg>(), "STREAM"),
        (TypeId::of::<TakeoverArg>(), "POLICY"),
        (TypeId::of::<LogFormat>(), "FORMAT"),
        (TypeId::of::<LogLevel>(), "LEVEL"),
    ];
    match option.get_id().as_str() {
        "config" => Some("FILE"),
        "allow_host" => Some("HOST"),
        "allow_origin" => Some("ORIGIN"),
        "auth_audience" => Some("AUDIENCE"),
        "auth_scopes" => Some("SCOPE"),
        "store_prefix" => Some("PREFIX"),
        _ => {
            let parsed = option.get_value_parser().type_id();
            by_type.into_iter().find(|(id, _)| parsed == *id).map(|(_, name)| name)
        }
    }
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

    /// Returns whether sessions have processes: a command or a file of servers is set.
    pub(super) fn has_processes(&self) -> bool {
        let has_command = self.command.as_ref().is_some_and(|command| !command.is_empty());
        has_command
            || self.servers.clone().is_some_and(|file| Option::<String>::from(file).is_some())
    }
}

options! {
    "Server" {
        /// Address to listen on: `HOST:PORT`, or a port on the loopback address
        ///
        /// Port 0 picks a free one.
        listen: Listen => listen;
        /// Address for operators: health, metrics and sessions, without authentication; or `off`
        ///
        /// `HOST:PORT`, or a port on the loopback address. Serves /livez, /readyz, /metrics,
        /// /sessions, and at / a page that shows the sessions as they happen.
        admin: OptionalListen => admin;
        /// OpenTelemetry collector that gets traces and metrics by OTLP over HTTP; or `off`
        ///
        /// For example `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are appended. The
        /// variables `OTEL_*` apply.
        otlp_endpoint: OptionalUrl => otlp_endpoint;
        /// URL path that says `ok`, as long as the program runs, to anyone; or `off`
        ///
        /// For a load balancer that reaches only this listener. /readyz of --admin knows more.
        health_path: OptionalPath => health_path;
        /// URL path of the MCP endpoint
        path: String => path;
        /// Additional allowed host name of the server (`Host` header); repeatable
        ///
        /// `HOST:PORT` allows one port only, `*.example.com` all subdomains, `*` any name.
        /// Loopback names and the address of --listen are always allowed.
        allow_host: Vec<String> => http.hosts;
        /// Additional allowed origin of web pages (`Origin` header); repeatable
        ///
        /// For example `https://example.com`; `*` allows any. Loopback origins and those of
        /// allowed hosts are always allowed.
        allow_origin: Vec<String> => http.origins;
        /// Send CORS headers, so that web pages of allowed origins can read responses
        cors: bool => http.cors;
        /// Header in which the reverse proxy adds the client's IP address; or `off`
        ///
        /// The last entry counts, as in `X-Forwarded-For`. Use it only if all requests come
        /// through that proxy: otherwise clients can forge their address.
        client_ip_header: OptionalHeader => http.client_ip_header;
        /// Respond with a single JSON object instead of an SSE stream where possible
        json_responses: bool => http.json_responses;
        /// How long to serve everything on shutdown, until load balancers send no more clients
        drain_delay: HumanDuration => drain_delay;
        /// Time for pending requests to finish on shutdown, after the delay; then they fail
        drain_timeout: HumanDuration => drain_timeout;
        /// How long sessions may go on whose server was changed or removed by a reload
        ///
        /// Then they are drained, as on shutdown.
        retire_timeout: HumanDuration => retire_timeout;
    }
    "Authentication" {
        /// File of API keys, which clients send as bearer token or `X-API-Key`; or `off`
        ///
        /// Each line is a name and the hash of a key: `NAME sha256:HEX`. SIGHUP reads it again.
        auth_keys: OptionalFile => auth.keys;
        /// OAuth authorization server whose access tokens (JWT) are accepted; or `off`
        ///
        /// Exactly as its tokens name it. Needs --auth-audience and --public-url.
        auth_issuer: OptionalUrl => auth.issuer;
        /// Audience that a token must have; repeatable, then one of them
        auth_audience: Vec<String> => auth.audiences;
        /// Scope that a token must have; repeatable, then all of them
        auth_scopes: Vec<String> => auth.scopes;
        /// URL of the issuer's keys (JWK set), if its metadata is not to be used; or `off`
        auth_jwks_url: OptionalUrl => auth.jwks_url;
        /// Minimum time between two fetches of these keys; at least 1s
        ///
        /// They are fetched again when a token names an unknown key, and every 15 min.
        auth_jwks_interval: HumanDuration => auth.jwks_interval;
        /// Tolerance for differing clocks when the times of a token are checked; at most 1m
        auth_leeway: HumanDuration => auth.leeway;
        /// Scheme and host of the URL that clients use, such as `https://mcp.example.com`; or `off`
        public_url: OptionalUrl => auth.public_url;
        /// Maximum rate of requests of a principal (key, or subject of a token or certificate); or `unlimited`
        ///
        /// Further requests get 429.
        max_requests_per_second: RateLimit => auth.requests_per_second_max;
    }
    "TLS" {
        /// Certificate chain in PEM, for HTTPS and HTTP/2; or `off`
        ///
        /// SIGHUP reads this file and the next two again.
        tls_cert: OptionalFile => tls_cert;
        /// Private key of the certificate in PEM; or `off`
        tls_key: OptionalFile => tls_key;
        /// CA certificates in PEM; clients then need a certificate of one of these; or `off`
        tls_client_ca: OptionalFile => tls_client_ca;
    }
    "Command" {
        /// Command of a stdio MCP server and its arguments; one process is started per session
        ///
        /// `{principal}` in an argument, or in the value of --env, is the name of the key or the
        /// subject of the token that the session belongs to.
        command: Vec<String> => command;
        /// File with several servers, as `mcpServers`, instead of a command; or `off`
        ///
        /// Each is served at `/servers/NAME/mcp`, and a single one at --path, too. SIGHUP reads the
        /// file again.
        servers: OptionalFile => servers;
        /// Working directory of the command
        cwd: PathBuf => cwd;
        /// Environment variable of the command: `NAME=VALUE` sets it, `NAME` unsets it; repeatable
        ///
        /// The command inherits all others of rejoin, except those of its own options, such as
        /// `REJOIN_STORE`.
        env: Vec<EnvVariable> => env;
        /// Pass only PATH and the variables of --env on to the command
        env_clear: bool => env_clear;
        /// Header of `initialize` that the command gets as a variable: `HEADER=NAME`; repeatable
        ///
        /// For a credential of the user, such as `X-Github-Token=GITHUB_TOKEN`. Unset if the
        /// request does not have the header. At most 8 KiB of ASCII.
        header_env: Vec<HeaderVariable> => header_env;
        /// Time for a process to exit after its session has ended; then it is killed
        ///
        /// First its stdin is closed, and after a quarter of the time it gets SIGTERM. Signals are
        /// also sent to all processes that it has started.
        stop_timeout: HumanDuration => stop_timeout;
        /// Maximum number of processes started per second; or `unlimited`
        ///
        /// Further sessions wait for up to 5 s, then get 503.
        max_starts_per_second: RateLimit => starts_per_second_max;
        /// How long to keep a process that is still starting when its client disconnects
        ///
        /// It serves the next client with the same `initialize` message. `0s` stops it immediately.
        start_grace: HumanDuration => start_grace;
    }
    "Connections" {
        /// Maximum number of TCP connections; further clients wait
        ///
        /// Lowered if the limit of open files requires it.
        max_connections: usize => tcp_connections_max;
        /// Maximum number of HTTP responses (SSE connections) per session
        max_session_connections: usize => sessions.session.connections_max;
        /// Timeout for receiving the headers of a request, from its first byte
        header_timeout: HumanDuration => header_timeout;
        /// Timeout for receiving the body of a request
        body_timeout: HumanDuration => http.body_timeout;
        /// Timeout of an idle connection between two requests (HTTP keep-alive)
        ///
        /// Set it higher than that of the proxy in front.
        connection_idle_timeout: HumanDuration => connection_idle_timeout;
        /// Interval between keep-alive comments on an idle SSE stream; or `never`
        sse_keep_alive: Timeout => http.sse_keep_alive;
        /// Close SSE connections after this long, so that clients reconnect; or `never`
        reconnect_after: Timeout => http.reconnect_after;
        /// Delay after which a disconnected client is told to reconnect (SSE `retry`)
        reconnect_delay: HumanDuration => http.reconnect_delay;
        /// What to do with a second GET of a session
        concurrent_get: ConcurrentGetArg => sessions.session.concurrent_get;
        /// Maximum number of standby GET connections (shadows) per session
        max_shadows: usize => sessions.session.shadows_max;
    }
    "Sessions" {
        /// Maximum number of sessions; with a command the default is 100
        max_sessions: usize => sessions.sessions_max;
        /// Maximum number of sessions per client IP address; or `off`
        ///
        /// Set it if untrusted clients can connect: otherwise one client can use up all sessions.
        /// Behind a proxy it needs --client-ip-header.
        max_sessions_per_ip: OptionalLimit => sessions.sessions_per_ip_max;
        /// Maximum number of sessions per principal; or `off`
        ///
        /// The principal of a request is known if it was authenticated.
        max_sessions_per_principal: OptionalLimit => sessions.sessions_per_principal_max;
        /// Close a session after this long without a connection if it was not used; or `never`
        ///
        /// `initialize` and `ping` do not count as use.
        unused_timeout: Timeout => sessions.unused_timeout;
        /// Close a session after this long without activity; or `never`
        ///
        /// Messages of the client, pending requests and connections are activity.
        idle_timeout: Timeout => sessions.session.idle_timeout;
        /// Timeout for starting the server of a session
        start_timeout: HumanDuration => sessions.start_timeout;
        /// Timeout for the response to `initialize`; or `never`
        init_timeout: Timeout => sessions.session.init_timeout;
    }
    "Store" {
        /// Server of Valkey, or Redis 6.2 or later, with which sessions outlive the process; or `off`
        ///
        /// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss://` for TLS. Several processes
        /// with the same store can continue each other's sessions.
        store: OptionalUrl => store.url;
        /// PEM file with the CAs that are trusted for the store, instead of those of the system; or `off`
        store_ca: OptionalFile => store.tls.ca;
        /// PEM file with a client certificate for the store, and its intermediates; or `off`
        ///
        /// Needs --store-key.
        store_cert: OptionalFile => store.tls.cert;
        /// PEM file with the private key of --store-cert; or `off`
        store_key: OptionalFile => store.tls.key;
        /// Beginning of all keys in the store
        store_prefix: String => store.prefix;
        /// Time after which the store removes a session that no process has
        store_ttl: HumanDuration => store.ttl;
        /// What becomes of a session that was another process's, without its server
        takeover: TakeoverArg => store.takeover;
        /// Time after which others may continue the sessions of a process that cannot be reached
        lease: HumanDuration => store.lease;
        /// Address for other processes with the same store, which pass requests on; or `off`
        ///
        /// `HOST:PORT`, or a port on the loopback address. Needs --cluster-secret-file. Links are not
        /// encrypted: use a private network.
        cluster_listen: OptionalListen => store.cluster_listen;
        /// How other processes reach that address, if it is not the one to listen on; or `off`
        cluster_advertise: OptionalAddress => store.cluster_advertise;
        /// File with the secret that all processes with the same store share; or `off`
        ///
        /// At least 16 bytes, for example of `openssl rand -hex 32`.
        cluster_secret_file: OptionalFile => store.cluster_secret_file;
    }
    "Requests" {
        /// Timeout for the server's response to a request; or `never`
        ///
        /// Regardless of progress. The request then fails, and is cancelled at the server.
        request_timeout: Timeout => sessions.request_timeout;
        /// Cancel a pending request after this long without a connection; or `never`
        orphan_timeout: Timeout => sessions.session.orphan_timeout;
        /// Maximum number of pending client requests per session
        max_pending_requests: usize => sessions.session.pending_requests_max;
        /// Maximum number of cancelled but unanswered requests per session
        ///
        /// More of them count towards --max-pending-requests.
        max_cancelled_requests: usize => sessions.session.cancelled_requests_max;
        /// How long the id of a cancelled, unanswered request is reserved; or `never` for no limit
        cancelled_timeout: Timeout => sessions.session.cancelled_timeout;
        /// How long a server request waits for a connected client; or `never` for no limit
        ///
        /// Server requests are those for sampling, elicitation and roots.
        delivery_timeout: Timeout => sessions.session.delivery_timeout;
        /// Timeout for the client's response to a server request, from its delivery; or `never`
        server_request_timeout: Timeout => sessions.session.server_request_timeout;
        /// Maximum number of pending server requests per session
        max_server_requests: usize => sessions.session.server_requests_max;
    }
    "Messages" {
        /// Maximum size of a message, and of a line of the command's stdout
        ///
        /// A larger response fails its request.
        max_message: Size => sessions.session.message_bytes_max;
        /// Maximum size of a request body
        ///
        /// Each message in it is also limited by --max-message.
        max_request_body: Size => http.body_bytes_max;
        /// Maximum memory for the messages of all sessions: received, queued and kept for clients
        ///
        /// A quarter is for messages of clients, until the server has read them. The rest is for what
        /// sessions keep for their clients, see --max-session-bytes. Not counted: a line of the
        /// command's stdout that is being read, or that waits because its client does not read or
        /// memory is short, one for each session.
        max_memory: Size => sessions.memory_bytes_max;
        /// Maximum number of messages in a JSON-RPC batch
        max_batch: usize => sessions.session.batch_max;
        /// Maximum nesting depth of JSON messages
        max_json_depth: usize => sessions.json_depth_max;
        /// Maximum number of messages queued for the server, per session
        max_queue: usize => sessions.queue_max;
        /// How long a client message may wait for space in the server's queue
        queue_timeout: HumanDuration => sessions.queue_timeout;
    }
    "Streams and replay" {
        /// How long a complete stream is kept for its client to resume; or `never` for no limit
        retention: Timeout => sessions.session.retention;
        /// Maximum number of request streams per session that are open or not fully sent
        max_streams: usize => sessions.session.streams_max;
        /// Maximum number of events kept per stream for replay
        max_stream_events: usize => sessions.session.stream_events_max;
        /// Maximum memory for the events kept per stream
        ///
        /// A single event may be larger, up to --max-message.
        max_stream_bytes: Size => sessions.session.stream_bytes_max;
        /// Maximum memory for all that a session keeps for its client, sent or to be sent
        ///
        /// A single event may be larger, up to --max-message, if it is the only one.
        max_session_bytes: Size => sessions.session.session_bytes_max;
        /// Maximum number of kept responses per session that the client has not received
        max_retained_unacknowledged: usize => sessions.session.retained_unacknowledged_max;
        /// Maximum number of kept responses per session that were sent to the client
        max_retained_acknowledged: usize => sessions.session.retained_acknowledged_max;
        /// Maximum number of expired streams per session whose resumption gets an error
        max_tombstones: usize => sessions.session.tombstones_max;
        /// How long the resumption of an expired stream gets an error; or `never` for no limit
        tombstone_timeout: Timeout => sessions.session.tombstone_timeout;
        /// When a stream starts with a priming event, which has an id but no data
        priming: PrimingArg => sessions.session.priming;
        /// Where to send server messages that belong to no request
        ///
        /// With a command the default is `sole-request`.
        route_unrelated: UnrelatedRoutingArg => sessions.session.unrelated_routing;
    }
    "Slow clients" {
        /// Maximum number of events in flight per connection
        max_window_events: u32 => sessions.session.window_events_max;
        /// Minimum time that a client may hold back the server by not reading
        ///
        /// A client that usually pauses for longer gets more, up to --stall-timeout-max.
        stall_timeout_min: HumanDuration => sessions.session.stall_timeout_min;
        /// Maximum time that a client may hold back the server by not reading; or `never`
        stall_timeout_max: Timeout => sessions.session.stall_timeout_max;
        /// The same maximum while other requests of the session are pending; or `never`
        ///
        /// These would have to wait, too. With a command the default is 1s.
        hold_timeout: Timeout => sessions.session.hold_timeout;
        /// Disconnect a client that reads nothing for this long; or `never`
        stall_disconnect_timeout: Timeout => sessions.session.stall_disconnect_timeout;
    }
    "Log" {
        /// Format of the log
        log_format: LogFormat => log_format;
        /// Log level: off, error, warn, info, debug or trace
        ///
        /// Also per module, as in `info,rejoin=debug`. Falls back to `RUST_LOG`.
        log_level: LogLevel => log_level;
        /// Directory for journals of sessions, for `rejoin replay`; or `off`
        ///
        /// Journals contain no message bodies.
        journal: OptionalDir => journal;
        /// Maximum total size of the journals that this process writes
        max_journal: Size => journal_bytes_max;
    }
}
