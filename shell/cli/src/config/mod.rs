//! Configuration of the program, from flags, environment variables, a file and defaults, in
//! this order of precedence.

mod choices;
mod log_level;
mod options;
mod servers;
mod store;
mod store_tls;
mod text;
mod values;

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use http::{Uri, uri::PathAndQuery};
use rejoin::{
    ChildSupervisor, HttpConfig, ManagerConfig, SessionManager, StdioConfig, StreamableHttp,
    rejoin_core::UnrelatedRouting,
};

use self::values::EnvVariable;
pub(crate) use self::{
    choices::LogFormat,
    log_level::LogLevel,
    options::{Options, value_name},
    servers::{NamedServer, ServerName},
    store::ProgramStore,
    values::HeaderVariable,
};
use crate::{auth::AuthConfig, demo::Demo};

/// The resolved configuration of `rejoin serve`, or of one of its servers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProgramConfig {
    pub(crate) listen: SocketAddr,
    /// The address of the listener for operators.
    pub(crate) admin: Option<SocketAddr>,
    /// The base URL of the OpenTelemetry collector.
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) path: String,
    /// The path that says `ok`.
    pub(crate) health_path: Option<String>,
    pub(crate) http: HttpConfig,
    pub(crate) auth: AuthConfig,
    pub(crate) sessions: ManagerConfig,
    pub(crate) store: ProgramStore,
    pub(crate) header_timeout: Duration,
    pub(crate) connection_idle_timeout: Duration,
    pub(crate) tcp_connections_max: usize,
    /// Whether the user set `tcp_connections_max`. The default is lowered without a warning.
    pub(crate) tcp_connections_max_is_set: bool,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) retire_timeout: Duration,
    pub(crate) tls_cert: Option<String>,
    pub(crate) tls_key: Option<String>,
    pub(crate) tls_client_ca: Option<String>,
    /// The stdio server of each session and its arguments. Empty for the demo server.
    pub(crate) command: Vec<String>,
    /// File with several servers, instead of a command.
    pub(crate) servers: Option<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) env: Vec<EnvVariable>,
    pub(crate) env_clear: bool,
    /// Headers of `initialize` that the command gets as variables.
    pub(crate) header_env: Vec<HeaderVariable>,
    pub(crate) stop_timeout: Duration,
    pub(crate) starts_per_second_max: Option<NonZeroU32>,
    pub(crate) start_grace: Duration,
    /// Soft limit of open files for the command.
    pub(crate) open_files: Option<u64>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogLevel,
    pub(crate) journal: Option<String>,
    pub(crate) journal_bytes_max: usize,
}

/// The files for TLS.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) client_ca: Option<String>,
}

impl Default for ProgramConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], values::DEFAULT_PORT)),
            admin: None,
            otlp_endpoint: None,
            path: "/mcp".to_owned(),
            health_path: None,
            http: HttpConfig::default(),
            auth: AuthConfig::default(),
            sessions: ManagerConfig::default(),
            store: ProgramStore::default(),
            header_timeout: Duration::from_secs(10),
            // Longer than the idle timeouts of proxies and client connection pools.
            connection_idle_timeout: Duration::from_secs(120),
            tcp_connections_max: 20_000,
            tcp_connections_max_is_set: false,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            retire_timeout: Duration::from_secs(600),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            command: Vec::new(),
            servers: None,
            cwd: PathBuf::from("."),
            env: Vec::new(),
            env_clear: false,
            header_env: Vec::new(),
            stop_timeout: Duration::from_secs(2),
            starts_per_second_max: NonZeroU32::new(10),
            start_grace: Duration::from_secs(60),
            open_files: None,
            log_format: LogFormat::Human,
            log_level: LogLevel::default(),
            journal: None,
            journal_bytes_max: 1 << 30,
        }
    }
}

/// Default maximum number of sessions if each has a process.
const SESSIONS_MAX_WITH_COMMAND: usize = 100;

impl ProgramConfig {
    /// Resolves every option from `options`, else from the file, else by default.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the option, or the file if that is invalid.
    pub(crate) fn resolve(options: Options, file: Option<&Path>) -> anyhow::Result<Self> {
        let mut options = match file {
            Some(file) => options.or(read(file)?),
            None => options,
        };
        options.set_default_log_level(LogLevel::from_environment)?;
        let mut config = Self::default();
        if options.has_processes() {
            // A stdio server cannot tell which request a message belongs to.
            config.sessions.session.unrelated_routing = UnrelatedRouting::SoleRequest;
            // All its messages share one pipe.
            config.sessions.session.hold_timeout = Some(Duration::from_secs(1));
            config.sessions.sessions_max = SESSIONS_MAX_WITH_COMMAND;
        }
        config.tcp_connections_max_is_set = options.has_max_connections();
        options.apply(&mut config);
        config.check()?;
        Ok(config)
    }

    /// Reads the servers of the file, if one is configured.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the file, and the line or the server.
    pub(crate) fn read_servers(&self) -> anyhow::Result<Option<Vec<NamedServer>>> {
        self.servers.as_ref().map(|file| servers::read(Path::new(file), self)).transpose()
    }

    /// Returns the files for TLS, or `None` for plain HTTP.
    pub(crate) fn tls_files(&self) -> Option<TlsFiles> {
        let (cert, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(TlsFiles { cert, key, client_ca: self.tls_client_ca.clone() })
    }

    /// Returns the configuration of the stdio backend, or `None` for the demo server.
    pub(crate) fn stdio(&self, supervisor: ChildSupervisor) -> Option<StdioConfig> {
        let (command, args) = self.command.split_first()?;
        let mut config = StdioConfig::new(command);
        config.args = args.iter().map(Into::into).collect();
        config.clear_env = self.env_clear;
        let own = own_variables().map(|name| (OsString::from(name), None));
        config.env = own.chain(self.env.iter().map(EnvVariable::to_pair)).collect();
        config.working_dir = Some(self.cwd.clone());
        config.stop_timeout = self.stop_timeout;
        config.line_bytes_max = self.sessions.session.message_bytes_max;
        config.starts_per_second_max = self.starts_per_second_max;
        config.start_grace = self.start_grace;
        config.open_files = self.open_files;
        config.supervisor = Some(supervisor);
        Some(config)
    }

    /// Returns the configuration of the HTTP service. Allows the address that the program
    /// listens on as `Host`; if it listens on all addresses, any IP address.
    pub(crate) fn http(&self) -> HttpConfig {
        let mut http = self.http.clone();
        match self.listen.ip() {
            ip if ip.is_unspecified() => http.any_ip_host = true,
            IpAddr::V4(ip) => http.hosts.push(ip.to_string()),
            IpAddr::V6(ip) => http.hosts.push(format!("[{ip}]")),
        }
        http
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.path.starts_with('/'), "--path must begin with a `/`");
        if self.servers.is_some() {
            let both = "a command and --servers cannot be used together";
            anyhow::ensure!(self.command.is_empty(), both);
            let link = "--cluster-listen and --servers cannot be used together";
            anyhow::ensure!(self.store.cluster_listen.is_none(), link);
            let path = "--path must not begin with `/servers/` if --servers is used";
            anyhow::ensure!(!self.path.starts_with("/servers/"), path);
        }
        self.check_health_path()?;
        self.auth.check(self.tls_client_ca.is_some())?;
        self.store.check()?;
        if let Some(url) = &self.otlp_endpoint {
            anyhow::ensure!(
                is_base_url(url),
                "--otlp-endpoint: `{url}`: expected a URL such as `http://127.0.0.1:4318`"
            );
        }
        anyhow::ensure!(
            self.tls_cert.is_some() == self.tls_key.is_some(),
            "--tls-cert and --tls-key need each other"
        );
        anyhow::ensure!(
            self.tls_client_ca.is_none() || self.tls_cert.is_some(),
            "--tls-client-ca needs --tls-cert and --tls-key"
        );
        anyhow::ensure!(self.tcp_connections_max > 0, "--max-connections must be at least 1");
        anyhow::ensure!(self.cwd.is_dir(), "--cwd: `{}` is not a directory", self.cwd.display());
        let timeouts = [
            ("--header-timeout", self.header_timeout),
            ("--connection-idle-timeout", self.connection_idle_timeout),
            ("--start-timeout", self.sessions.start_timeout),
        ];
        for (name, timeout) in timeouts {
            anyhow::ensure!(!timeout.is_zero(), "{name} must be greater than zero");
        }
        let sessions = SessionManager::new(Demo, self.sessions.clone())
            .map_err(|error| anyhow::anyhow!(replace_field_names(&error.to_string())))?;
        StreamableHttp::new(sessions, self.http())
            .map_err(|error| anyhow::anyhow!(replace_field_names(&error.to_string())))?;
        Ok(())
    }
}

impl ProgramConfig {
    /// Checks that no MCP endpoint and no metadata has the path.
    fn check_health_path(&self) -> anyhow::Result<()> {
        let Some(path) = &self.health_path else { return Ok(()) };
        let is_path = path.starts_with('/') && path.parse::<PathAndQuery>().is_ok();
        anyhow::ensure!(
            is_path && !path.contains('?'),
            "--health-path must be a path, as `/healthz`"
        );
        anyhow::ensure!(*path != self.path, "--health-path must differ from --path");
        let is_servers = self.servers.is_some() && path.starts_with("/servers/");
        anyhow::ensure!(
            !is_servers && !path.starts_with("/.well-known/"),
            "--health-path must not begin with `/servers/` or `/.well-known/`"
        );
        Ok(())
    }
}

/// Returns the default of every option, by name.
pub(crate) fn defaults() -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(Options::from_config(&ProgramConfig::default())) {
        Ok(serde_json::Value::Object(defaults)) => defaults,
        _ => serde_json::Map::new(),
    }
}

/// Returns the name of the environment variable of an option.
pub(crate) fn variable(option: &str) -> String {
    format!("REJOIN_{}", option.to_uppercase())
}

/// Returns the environment variables of all options. They may have secrets, and servers do not inherit
/// them.
fn own_variables() -> impl Iterator<Item = String> {
    let options = options::FIELDS.iter().map(|(name, _)| *name);
    options.filter(|name| *name != "command").chain(["config"]).map(variable)
}

/// Returns whether a text is a URL that a path can be appended to.
fn is_base_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.query().is_none()
    })
}

fn read(file: &Path) -> anyhow::Result<Options> {
    let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("{}", file.display()))
}

/// Replaces the names of configuration fields by those of their options.
fn replace_field_names(message: &str) -> String {
    let option = |word: &str| {
        let field = word.trim_end_matches([':', ',']);
        let (option, _) = options::FIELDS.iter().find(|(_, name)| *name == field)?;
        Some(format!("--{}{}", option.replace('_', "-"), word.trim_start_matches(field)))
    };
    let words = message.split(' ').map(|word| option(word).unwrap_or_else(|| word.to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn error(text: &str) -> String {
        let file = file(text);
        format!("{:#}", ProgramConfig::resolve(Options::default(), Some(file.path())).unwrap_err())
    }

    #[test]
    fn every_default_can_be_read_from_a_file() {
        let all = toml::to_string(&Options::from_config(&ProgramConfig::default())).unwrap();
        let config = ProgramConfig::resolve(Options::default(), Some(file(&all).path())).unwrap();
        let set = ProgramConfig { tcp_connections_max_is_set: true, ..ProgramConfig::default() };
        assert_eq!(format!("{config:?}"), format!("{set:?}"));
    }

    #[test]
    fn flags_take_precedence_over_the_file() {
        let file = file("listen = \"127.0.0.1:1\"\nmax-sessions = 7\nretention = \"never\"");
        let flags: Options = toml::from_str("max-sessions = 8").unwrap();
        let config = ProgramConfig::resolve(flags, Some(file.path())).unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.sessions.sessions_max, 8);
        assert_eq!(config.sessions.session.retention, None);
    }

    #[test]
    fn the_listening_address_is_an_allowed_host() {
        let http = |listen: &str| {
            let file = file(&format!("listen = \"{listen}\""));
            ProgramConfig::resolve(Options::default(), Some(file.path())).unwrap().http()
        };
        assert_eq!(http("192.168.1.7:1").hosts, ["192.168.1.7"]);
        assert!(!http("192.168.1.7:1").any_ip_host);
        assert_eq!(http("[fe80::1]:1").hosts, ["[fe80::1]"]);
        for everywhere in ["0.0.0.0:1", "[::]:1"] {
            assert!(http(everywhere).any_ip_host);
        }
    }

    #[test]
    fn errors_name_the_option_as_the_user_wrote_it() {
        for (text, named) in [
            ("max-session = 1", "max-session"),
            ("idle-timeout = 5", "idle-timeout"),
            ("idle-timeout = \"0s\"", "--idle-timeout must be"),
            ("max-session-connections = 0", "--max-session-connections must be at least 1"),
            ("max-window-events = 0", "--max-window-events must be at least 1"),
            ("max-sessions = 0", "--max-sessions must be at least 1"),
            ("max-queue = 1", "--max-queue must be at least 64, the value of --max-batch,"),
            ("allow-host = [\"a b\"]", "--allow-host: `a b`"),
            ("allow-host = [\"example.com:99999\"]", "--allow-host: `example.com:99999`"),
            ("allow-host = [\"a*.example.com\"]", "--allow-host: `a*.example.com`"),
            ("allow-origin = [\"example.com\"]", "--allow-origin: `example.com`"),
            ("max-sessions-per-ip = 0", "--max-sessions-per-ip must be at least 1"),
            ("max-sessions-per-ip = -1", "expected a number, or `off`"),
            ("unused-timeout = \"0s\"", "--unused-timeout must be"),
            ("concurrent-get = \"x\"", "expected one of `shadow`, `take-over`, `reject`"),
            ("max-message = \"x\"", "expected a size such as `64KiB`"),
            ("client-ip-header = \"a b\"", "expected a header name"),
            ("reconnect-delay = \"30days\"", "--reconnect-delay must be at most"),
            (
                "connection-idle-timeout = \"0s\"",
                "--connection-idle-timeout must be greater than zero",
            ),
            ("path = \"mcp\"", "--path"),
            ("otlp-endpoint = \"127.0.0.1:4318\"", "--otlp-endpoint: `127.0.0.1:4318`"),
            ("otlp-endpoint = \"http://a/?b\"", "--otlp-endpoint: `http://a/?b`"),
            ("health-path = \"healthz\"", "--health-path must be a path"),
            ("health-path = \"/a?b\"", "--health-path must be a path"),
            ("health-path = \"/mcp\"", "--health-path must differ from --path"),
            ("health-path = \"/.well-known/x\"", "--health-path must not begin"),
            ("health-path = \"/servers/a/mcp\"\nservers = \"mcp.json\"", "--health-path must not"),
            ("log-level = \"=,=\"", "log-level"),
            ("listen = \"here\"", "listen"),
            ("cwd = \"/no/such\"", "--cwd: `/no/such` is not a directory"),
            ("command = \"npx -y server\"", "command"),
            ("env = [\"=x\"]", "env"),
        ] {
            assert!(error(text).contains(named), "{text}: {}", error(text));
        }
    }
}
