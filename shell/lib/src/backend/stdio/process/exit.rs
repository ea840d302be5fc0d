//! Notification of the exit of a process, without reaping it.

use std::io;

use rustix::process::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Wakes when a process may have exited.
pub(super) enum ExitWatch {
    /// A descriptor of the process itself, so that exits of other processes cause no wake-up.
    #[cfg(target_os = "linux")]
    Pidfd(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    /// The signal for the exit of any child, as a fallback.
    Sigchld(Signal),
}

impl ExitWatch {
    /// Watches a process that has not been reaped. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub(super) fn new(process: Pid) -> io::Result<Self> {
        match Self::pidfd(process) {
            Some(watch) => Ok(watch),
            None => signal(SignalKind::child()).map(Self::Sigchld),
        }
    }

    /// Returns `None` if the system does not support pidfds, or no descriptor is left.
    #[cfg(target_os = "linux")]
    #[expect(deprecated, reason = "the descriptor is owned, and what replaces this is unsafe")]
    fn pidfd(process: Pid) -> Option<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};
        use tokio::io::{Interest, unix::AsyncFd};
        let descriptor = pidfd_open(process, PidfdFlags::empty()).ok()?;
        AsyncFd::with_interest(descriptor, Interest::READABLE).map(Self::Pidfd).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn pidfd(_: Pid) -> Option<Self> {
        None
    }

    /// Waits until the process may have exited since the last call. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Pidfd(descriptor) => {
                descriptor.readable().await?.clear_ready();
                Ok(())
            }
            Self::Sigchld(signals) => {
                let ended = || io::Error::other("the signal stream has ended");
                signals.recv().await.ok_or_else(ended)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn every_kind_of_watch_reports_an_exit() {
        let sigchld = |_| signal(SignalKind::child()).map(ExitWatch::Sigchld);
        for watch in [ExitWatch::new, sigchld] {
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            let mut watch = watch(Pid::from_child(&child)).unwrap();
            child.kill().unwrap();
            timeout(Duration::from_secs(20), watch.changed()).await.unwrap().unwrap();
            child.wait().unwrap();
        }
    }
}
