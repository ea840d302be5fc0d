//! Server process, from the side of the load generator.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::Kind;
use crate::process::Process;

/// A running server, killed on drop.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server, and waits until it listens.
    pub(crate) fn start(kind: Kind, text: &str) -> Result<Self> {
        Self::start_with(kind, text, None)
    }

    /// The same with TLS, by the files of a directory.
    pub(crate) fn start_with(kind: Kind, text: &str, tls: Option<&Path>) -> Result<Self> {
        let name = clap::ValueEnum::to_possible_value(&kind).context("no name of the server")?;
        let mut command = Command::new(env::current_exe()?);
        command.args(["serve", name.get_name(), text]);
        if let Some(directory) = tls {
            command.arg("--tls").arg(directory);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line
            .trim()
            .parse()
            .with_context(|| format!("{name:?} printed `{line}` instead of a port"))?;
        Ok(Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// Returns its process.
    pub(crate) fn process(&self) -> Process {
        Process::new(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
