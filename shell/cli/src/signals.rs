//! Signals: those that shut the program down, and SIGHUP, which reloads if there is something to
//! reload.

use std::{future::pending, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that shut the program down.
pub(crate) struct Signals {
    /// `None` if it reloads.
    hangup: Option<Signal>,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs handlers of SIGINT (Ctrl-C), SIGTERM and SIGHUP. Returns those of the signals that
    /// shut down, and that of SIGHUP if it reloads.
    pub(crate) fn install(reloads: bool) -> io::Result<(Self, Option<Signal>)> {
        let hangup = signal(SignalKind::hangup())?;
        let (hangup, reload) = if reloads { (None, Some(hangup)) } else { (Some(hangup), None) };
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok((Self { hangup, interrupt, terminate }, reload))
    }

    /// Waits for the next signal, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = next(self.hangup.as_mut()) => "SIGHUP",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

async fn next(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}
