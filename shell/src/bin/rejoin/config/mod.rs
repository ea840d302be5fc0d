//! The configuration: flags, else environment, else file, else defaults.

mod log_level;
mod options;
mod values;

use std::{
    env, fs, io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rejoin::{
    HttpConfig, ManagerConfig, SessionManager, StdioConfig, StreamableHttp, WatchdogCommand,
    rejoin_core::UnrelatedRouting,
};

use self::values::EnvVariable;
pub(crate) use self::{log_level::LogLevel, options::Options, values::LogFormat};

/// What the program is to do, with every option decided.
#[derive(Clone, Debug)]
pub(crate) struct ProgramConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) path: String,
    pub(crate) http: HttpConfig,
    pub(crate) sessions: ManagerConfig,
    pub(crate) header_timeout: Duration,
    pub(crate) connection_idle_timeout: Duration,
    pub(crate) connections_max: usize,
    /// Whether the user asked for `tcp_max`; the default is lowered without a warning.
    pub(crate) connections_max_is_set: bool,
    pub(crate) drain_timeout: Duration,
    /// The server of each session and its arguments; where it is empty, the demo server.
    pub(crate) command: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) env: Vec<EnvVariable>,
    pub(crate) stop_timeout: Duration,
    pub(crate) starts_per_second_max: Option<NonZeroU32>,
    pub(crate) start_grace: Duration,
    /// The soft limit of open files that the command gets.
    pub(crate) open_files: Option<u64>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogLevel,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) journal_bytes_max: usize,
}

impl Default for ProgramConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], values::DEFAULT_PORT)),
            path: "/mcp".to_owned(),
            http: HttpConfig::default(),
            sessions: ManagerConfig::default(),
            header_timeout: Duration::from_secs(10),
            // Longer than proxies and pools of clients keep a connection.
            connection_idle_timeout: Duration::from_secs(120),
            connections_max: 20_000,
            connections_max_is_set: false,
            drain_timeout: Duration::from_secs(10),
            command: Vec::new(),
            cwd: PathBuf::from("."),
            env: Vec::new(),
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

/// How many sessions there are by default, if each has a process of its own.
const SESSIONS_MAX_WITH_COMMAND: usize = 100;

impl ProgramConfig {
    /// Decides every option: by `said`, else by the file, else by default.
    ///
    /// # Errors
    ///
    /// The user is at fault; the error names the option, and the file where it is from one.
    pub(crate) fn resolve(said: Options, file: Option<&Path>) -> anyhow::Result<Self> {
        let mut said = match file {
            Some(file) => said.or(read(file)?),
            None => said,
        };
        said.set_default_log_level(LogLevel::from_environment)?;
        let mut config = Self::default();
        if said.has_command() {
            // It cannot say which call its messages belong to.
            config.sessions.session.unrelated_routing = UnrelatedRouting::SoleRequest;
            // All that it says comes through one pipe.
            config.sessions.session.hold_timeout = Some(Duration::from_secs(1));
            config.sessions.sessions_max = SESSIONS_MAX_WITH_COMMAND;
        }
        config.connections_max_is_set = said.has_max_connections();
        said.apply(&mut config);
        config.check()?;
        Ok(config)
    }

    /// Returns how the server of each session is started, unless that is the demo server.
    ///
    /// # Errors
    ///
    /// This program does not know where it is, and so cannot start its guard.
    pub(crate) fn stdio(&self) -> io::Result<Option<StdioConfig>> {
        let Some((command, args)) = self.command.split_first() else { return Ok(None) };
        let guard = WatchdogCommand { program: env::current_exe()?, args: vec!["watchdog".into()] };
        Ok(Some(StdioConfig {
            args: args.iter().map(Into::into).collect(),
            env: self.env.iter().map(EnvVariable::to_pair).collect(),
            working_dir: Some(self.cwd.clone()),
            stop_timeout: self.stop_timeout,
            line_bytes_max: self.sessions.session.message_bytes_max,
            starts_per_second_max: self.starts_per_second_max,
            start_grace: self.start_grace,
            open_files: self.open_files,
            watchdog: Some(guard),
            adopts_orphans: true,
            ..StdioConfig::new(command)
        }))
    }

    /// Returns what the HTTP service is held to. A client may also call the server by the
    /// address that it listens on; where that is every address, by any.
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
        anyhow::ensure!(self.connections_max > 0, "--max-connections must be at least 1");
        anyhow::ensure!(self.cwd.is_dir(), "--cwd: `{}` is no directory", self.cwd.display());
        let timeouts = [
            ("--header-timeout", self.header_timeout),
            ("--connection-idle-timeout", self.connection_idle_timeout),
            ("--start-timeout", self.sessions.start_timeout),
        ];
        for (name, timeout) in timeouts {
            anyhow::ensure!(!timeout.is_zero(), "{name} must be longer than zero");
        }
        let sessions = SessionManager::new(crate::demo::backend(), self.sessions.clone())
            .map_err(|error| anyhow::anyhow!(replace_field_names(&error.to_string())))?;
        StreamableHttp::new(sessions, self.http())
            .map_err(|error| anyhow::anyhow!(replace_field_names(&error.to_string())))?;
        Ok(())
    }
}

/// Returns the value of every option by default, by name.
pub(crate) fn defaults() -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(Options::of(&ProgramConfig::default())) {
        Ok(serde_json::Value::Object(defaults)) => defaults,
        _ => serde_json::Map::new(),
    }
}

fn read(file: &Path) -> anyhow::Result<Options> {
    let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("{}", file.display()))
}

/// Replaces names of settings by those of their options, as the user writes them.
fn replace_field_names(message: &str) -> String {
    let option = |word: &str| {
        let setting = word.trim_end_matches(':');
        let (option, _) = options::FIELDS.iter().find(|(_, name)| *name == setting)?;
        Some(format!("--{}{}", option.replace('_', "-"), word.trim_start_matches(setting)))
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
        let all = toml::to_string(&Options::of(&ProgramConfig::default())).unwrap();
        let config = ProgramConfig::resolve(Options::default(), Some(file(&all).path())).unwrap();
        let set = ProgramConfig { connections_max_is_set: true, ..ProgramConfig::default() };
        assert_eq!(format!("{config:?}"), format!("{set:?}"));
    }

    #[test]
    fn flags_take_precedence_over_the_file() {
        let file = file("listen = \"127.0.0.1:1\"\nmax-sessions = 7\nretention = \"never\"");
        let said: Options = toml::from_str("max-sessions = 8").unwrap();
        let config = ProgramConfig::resolve(said, Some(file.path())).unwrap();
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
            ("idle-timeout = \"0s\"", "--idle-timeout must be longer than zero"),
            ("max-sessions = 0", "--max-sessions must be at least 1"),
            ("max-queue = 1", "--max-queue must be at least 64, which is what --max-batch"),
            ("allow-host = [\"a b\"]", "--allow-host: `a b`"),
            ("allow-host = [\"example.com:99999\"]", "--allow-host: `example.com:99999`"),
            ("allow-host = [\"a*.example.com\"]", "--allow-host: `a*.example.com`"),
            ("allow-origin = [\"example.com\"]", "--allow-origin: `example.com`"),
            ("max-sessions-per-ip = 0", "--max-sessions-per-ip must be at least 1"),
            ("max-sessions-per-ip = -1", "write a number, or `off`"),
            ("unused-timeout = \"0s\"", "--unused-timeout must be longer than zero"),
            ("client-ip-header = \"a b\"", "the name of a header"),
            ("reconnect-delay = \"30days\"", "--reconnect-delay must be at most"),
            ("connection-idle-timeout = \"0s\"", "--connection-idle-timeout must be longer"),
            ("connection-idle-timeout = \"200years\"", "at most 100 years"),
            ("path = \"mcp\"", "--path"),
            ("log-level = \"=,=\"", "log-level"),
            ("listen = \"here\"", "listen"),
            ("cwd = \"/no/such\"", "--cwd: `/no/such` is no directory"),
            ("command = \"npx -y server\"", "command"),
            ("env = [\"=x\"]", "env"),
        ] {
            assert!(error(text).contains(named), "{text}: {}", error(text));
        }
    }
}
