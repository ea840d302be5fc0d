//! Gateway process.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::process::Process;

/// Maximum time until a gateway listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running gateway, killed on drop.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts a gateway, and waits until it listens.
    pub(crate) fn start(mut command: Command, port: u16) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut gateway = Self { child: command.spawn()?, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = gateway.child.try_wait()? {
                bail!("exited with {status}: {command:?}");
            }
            if start.elapsed() > START_TIMEOUT {
                bail!("does not listen after {START_TIMEOUT:?}: {command:?}");
            }
            std::thread::yield_now();
        }
        Ok(gateway)
    }

    /// Returns its process, without its children.
    pub(crate) fn process(&self) -> Process {
        Process::new(self.child.id())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a free port.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
