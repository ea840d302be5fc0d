//! Waiting for the exit of a process that is not reaped by that.

use std::io;

use rustix::process::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Says when a process may have exited.
pub(super) enum ExitWatch {
    /// A descriptor of the process itself, so that the exits of others wake nobody.
    #[cfg(target_os = "linux")]
    Pidfd(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    /// The signal that comes when any child exits, where there is no such descriptor.
    Sigchld(Signal),
}

impl ExitWatch {
    /// Watches a process that is not reaped yet. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The runtime ends.
    pub(super) fn new(process: Pid) -> io::Result<Self> {
        match Self::pidfd(process) {
            Some(watch) => Ok(watch),
            None => signal(SignalKind::child()).map(Self::Sigchld),
        }
    }

    /// `None` on a system that has no such descriptors, or none left.
    #[cfg(target_os = "linux")]
    #[expect(deprecated, reason = "the descriptor is owned, and what replaces this is unsafe")]
    fn pidfd(process: Pid) -> Option<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};
        use tokio::io::{Interest, unix::AsyncFd};
        let descriptor = pidfd_open(process, PidfdFlags::empty()).ok()?;
        AsyncFd::with_interest(descriptor, Interest::READABLE).map(Self::Pidfd).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn of_process(_: Pid) -> Option<Self> {
        None
    }

    /// Waits until the process may have exited since the last call. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The runtime ends.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Pidfd(descriptor) => {
                descriptor.readable().await?.clear_ready();
                Ok(())
            }
            Self::Sigchld(signals) => {
                let ended = || io::Error::other("signals are not received any more");
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
    async fn each_kind_of_watch_sees_an_exit() {
        let of_children = |_| signal(SignalKind::child()).map(ExitWatch::Sigchld);
        for watch in [ExitWatch::new, of_children] {
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            let mut watch = watch(Pid::from_child(&child)).unwrap();
            child.kill().unwrap();
            timeout(Duration::from_secs(20), watch.changed()).await.unwrap().unwrap();
            child.wait().unwrap();
        }
    }
}
