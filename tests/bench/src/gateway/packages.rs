//! Installation of gateways by npm, pip and cargo into the build directory.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// From the npm registry.
const SUPERGATEWAY: &str = "supergateway@4.0.0";
/// From the npm registry.
const NPM_PROXY: &str = "mcp-proxy@6.7.19";
/// From `PyPI`.
const PYPI_PROXY: &str = "mcp-proxy==0.13.0";

/// From the registry of crates.
const CRATE_PROXY: &str = "mcp-proxy@0.6.0";

/// The build directory of cargo.
pub(crate) struct Packages {
    build_directory: PathBuf,
}

impl Packages {
    /// Locates the build directory by the path of this program.
    pub(crate) fn in_build_directory() -> Result<Self> {
        let program = env::current_exe()?;
        let build =
            program.ancestors().nth(2).context("this program is not in a build directory")?;
        Ok(Self { build_directory: build.to_owned() })
    }

    /// Returns the directory for files of this benchmark.
    pub(crate) fn directory(&self) -> PathBuf {
        self.build_directory.join("bench")
    }

    /// Builds rejoin, and returns its command: one child per session.
    pub(super) fn rejoin(&self, port: u16, child: &[PathBuf]) -> Result<Command> {
        let mut command = self.rejoin_demo(port)?;
        command.env("REJOIN_MAX_STARTS_PER_SECOND", "unlimited");
        command.arg("--").args(child);
        Ok(command)
    }

    /// Builds rejoin, unless `REJOIN_TEST_PROGRAM` names another build, and returns the command of its
    /// demo server.
    pub(crate) fn rejoin_demo(&self, port: u16) -> Result<Command> {
        let mut command = match env::var_os("REJOIN_TEST_PROGRAM") {
            Some(program) => Command::new(program),
            None => Command::new(self.build_rejoin()?),
        };
        command.args(["serve", "--log-level", "warn", "--listen", &format!("127.0.0.1:{port}")]);
        Ok(command)
    }

    fn build_rejoin(&self) -> Result<PathBuf> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--quiet", "--package", "rejoin-cli", "--bin", "rejoin"]);
        cargo.arg("--target-dir").arg(&self.build_directory);
        run(cargo.current_dir(env!("CARGO_MANIFEST_DIR")))?;
        Ok(self.build_directory.join("release/rejoin"))
    }

    /// Returns the command of supergateway: one child per session.
    pub(super) fn supergateway(&self, port: u16, child: &[PathBuf]) -> Result<Command> {
        let script = self.npm(SUPERGATEWAY, "node_modules/supergateway/dist/index.js")?;
        let child: Vec<_> = child.iter().map(|part| part.display().to_string()).collect();
        let mut command = Command::new("node");
        command.arg(script).args(["--stdio", &child.join(" "), "--port", &port.to_string()]);
        command.args(["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none"]);
        Ok(command)
    }

    /// Returns the command of mcp-proxy from npm: one child for all sessions.
    pub(super) fn npm_proxy(&self, port: u16, child: &[PathBuf]) -> Result<Command> {
        let script = self.npm(NPM_PROXY, "node_modules/.bin/mcp-proxy")?;
        let mut command = Command::new("node");
        command.arg(script).args(["--port", &port.to_string(), "--server", "stream", "--"]);
        command.args(child);
        Ok(command)
    }

    /// Returns the command of mcp-proxy from `PyPI`: one child for all sessions.
    pub(super) fn pypi_proxy(&self, port: u16, child: &[PathBuf]) -> Result<Command> {
        let directory = self.build_directory.join("bench/pypi");
        let program = directory.join("bin/mcp-proxy");
        if !program.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
            let mut pip = Command::new(directory.join("bin/python"));
            run(pip.args(["-m", "pip", "install", "--quiet", PYPI_PROXY]))?;
        }
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--"]).args(child);
        Ok(command)
    }

    /// Returns the command of the crate mcp-proxy: one child for all sessions. It is built
    /// without its optional features, which calls do not need.
    pub(super) fn crate_proxy(&self, port: u16, child: &[PathBuf]) -> Result<Command> {
        let directory = self.build_directory.join("bench/cargo");
        let program = directory.join("bin/mcp-proxy");
        if !program.exists() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["install", "--quiet", "--locked", "--no-default-features", "--root"]);
            run(cargo.arg(&directory).arg(CRATE_PROXY))?;
        }
        let child: Vec<_> = child.iter().map(|part| part.display().to_string()).collect();
        let (name, arguments) = child.split_first().context("no command of the child")?;
        let config = directory.join(format!("proxy-{port}.toml"));
        fs::write(
            &config,
            format!(
                "[proxy]\nname = \"bench\"\nseparator = \"/\"\n\
                 [proxy.listen]\nhost = \"127.0.0.1\"\nport = {port}\n\
                 [[backends]]\nname = \"child\"\ntransport = \"stdio\"\n\
                 command = {name:?}\nargs = {arguments:?}\n"
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("--config").arg(config);
        Ok(command)
    }

    /// Installs a package unless it is installed, and returns the path of one of its files.
    fn npm(&self, package: &str, file: &str) -> Result<PathBuf> {
        let directory = self.build_directory.join("bench/npm").join(package);
        let file = directory.join(file);
        if !file.exists() {
            fs::create_dir_all(&directory)?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
            run(npm.arg(&directory).arg(package))?;
        }
        Ok(file)
    }
}

/// Runs a command, and fails if it fails.
fn run(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| program.clone())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {stderr}");
    Ok(())
}
