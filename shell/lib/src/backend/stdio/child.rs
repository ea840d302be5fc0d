//! The child process of one session, from its start to its end.

use std::{
    future::{Future, pending},
    io,
    process::ExitStatus,
    sync::Arc,
};

use rustix::process::Signal;
use thiserror::Error;
use tokio::{
    process::ChildStdout,
    task::spawn_blocking,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    SessionSetup, Shared,
    config::StartError,
    output::{LINGER_TIMEOUT, Lines, Stderr, StdoutEnd, StdoutForwarder},
    parked::{ChildStart, Offer, SessionEndpoints},
    process::Process,
    stdin::Stdin,
};
use crate::{
    ClientMessages, ClientSender, OpenError, SessionEvent, SessionId, SessionPermit,
    observer::Observers,
};

/// A process that serves one session.
pub(super) struct Child {
    process: Process,
    stdin: Stdin,
    stdout: Lines<ChildStdout>,
    stderr: Stderr,
    session: SessionId,
    /// The setup of the session that it was started for.
    setup: SessionSetup,
    shared: Arc<Shared>,
    observers: Observers,
}

/// Why a child can no longer serve its session.
#[derive(Debug, Error)]
enum ExitCause {
    #[error("process exited: {0}")]
    Exited(ExitStatus),
    #[error("cannot wait for the process: {0}")]
    WaitFailed(io::Error),
    #[error("process closed its stdout")]
    StdoutClosed,
    #[error("cannot read stdout of the process: {0}")]
    StdoutFailed(io::Error),
    #[error("cannot write to stdin of the process: {0}")]
    StdinFailed(io::Error),
}

impl Child {
    /// Starts a child on a blocking thread, so that the runtime is not blocked.
    ///
    /// The child holds the permit of its session until it is reaped, which is later than the end
    /// of the session.
    pub(super) async fn start(
        shared: Arc<Shared>,
        session: SessionId,
        setup: SessionSetup,
        permit: SessionPermit,
        observers: Observers,
    ) -> Result<Self, OpenError> {
        let started_at = Instant::now();
        let blocking = Arc::clone(&shared);
        let start = move || {
            let started = Process::start(&blocking.config, &setup, &blocking.supervisor, permit);
            let (process, pipes) = started.map_err(|error| blocking.config.start_error(error))?;
            Ok::<_, StartError>((process, pipes, setup))
        };
        let (process, pipes, setup) = spawn_blocking(start).await??;
        let (stdin, stdout, stderr) = match pipes.register() {
            Ok(pipes) => pipes,
            Err(error) => {
                // It already runs, and may have started other processes.
                process.end(session).await;
                return Err(shared.config.start_error(error).into());
            }
        };
        let duration = started_at.elapsed();
        let started = SessionEvent::ProcessStarted { process: process.id(), duration };
        observers.on_session_event(session, &started);
        Ok(Self {
            process,
            stdin: Stdin::new(stdin),
            stdout: Lines::new(stdout, shared.config.line_bytes_max),
            stderr: Stderr::new(stderr, session),
            session,
            setup,
            shared,
            observers,
        })
    }

    pub(super) fn process_id(&self) -> i32 {
        self.process.id()
    }

    /// Serves a session until the session or the child ends. If the session ends while the
    /// child is still starting, the child may serve another session.
    pub(super) async fn serve(mut self, client: ClientSender, mut messages: ClientMessages) {
        let mut forwarder = StdoutForwarder::new(client);
        let cause = loop {
            let ended = messages.ended();
            let cause = tokio::select! {
                biased;
                () = ended => None,
                cause = self.relay(&mut messages, &mut forwarder) => cause,
            };
            if let Some(cause) = cause {
                break cause;
            }
            let Some(next) = self.wait_for_next_client().await else {
                return self.stop(Some(messages)).await;
            };
            let (client, next) = next;
            messages = next;
            self.process.set_permit(messages.permit());
            let (previous, session) = (self.session.short(), client.session_id());
            client.set_process(self.process.id());
            forwarder = StdoutForwarder::new(client);
            tracing::info!(session = %session.short(), %previous, pid = self.process.id(),
                "session uses a process that was started for an earlier session");
            self.session = session;
            self.stderr.set_session(session);
            // The child has already received this client's first message. `None` means
            // that the session has ended.
            let _ = messages.recv().await;
        };
        let cause = self.forward_final_output(cause, &mut forwarder).await;
        let session = self.session.short();
        let reason = match self.stderr.last() {
            Some(line) => format!("{cause}; last line of stderr: {line}"),
            None => cause.to_string(),
        };
        match cause {
            ExitCause::StdoutFailed(_) | ExitCause::WaitFailed(_) => {
                tracing::error!(%session, reason, "stdio process is no longer available; closing session");
            }
            ExitCause::Exited(_) | ExitCause::StdoutClosed | ExitCause::StdinFailed(_) => {
                tracing::warn!(%session, reason, "stdio process is no longer available; closing session");
            }
        }
        // Closes the session, and fails its pending requests.
        messages.close(reason);
        self.stop(None).await;
    }

    /// Keeps a child that is still starting after its client has left, and returns the next
    /// session whose client sends the same `initialize` message. Returns `None` if the child is
    /// not starting any more, or no such client comes in time. Meanwhile the child holds no
    /// permit.
    async fn wait_for_next_client(&mut self) -> Option<SessionEndpoints> {
        let start_grace = self.shared.config.start_grace;
        let initialize = self.stdin.only_message()?;
        let start = ChildStart { initialize, setup: self.setup.clone() };
        if start_grace.is_zero() || !self.stdout.is_unread() {
            return None;
        }
        let mut next = self.shared.parked.park(start)?;
        let session = self.session.short();
        tracing::info!(%session, pid = self.process.id(),
            "client left while its server was starting; the process is kept for the next client");
        self.process.set_permit(SessionPermit::none());
        tokio::select! {
            biased;
            _ = self.process.exited() => {
                next.close();
                if let Ok(offer) = next.try_recv() {
                    offer.decline();
                }
                return None;
            }
            offer = &mut next => return offer.ok().map(Offer::accept),
            () = sleep(start_grace) => {}
            never = run_then_pend(self.stderr.log()) => never,
        }
        // A client may have come just before the deadline.
        next.close();
        next.try_recv().ok().map(Offer::accept)
    }

    /// Relays messages in both directions until the child fails. Returns `None` if the session
    /// has ended.
    async fn relay(
        &mut self,
        messages: &mut ClientMessages,
        forwarder: &mut StdoutForwarder,
    ) -> Option<ExitCause> {
        let cause = tokio::select! {
            exit = self.process.exited() => exit.map_or_else(ExitCause::WaitFailed, ExitCause::Exited),
            written = self.stdin.write_messages(messages) => ExitCause::StdinFailed(written.err()?),
            end = forwarder.forward(&mut self.stdout) => match end {
                StdoutEnd::Eof => ExitCause::StdoutClosed,
                StdoutEnd::Failed(error) => ExitCause::StdoutFailed(error),
            },
            never = run_then_pend(self.stderr.log()) => never,
        };
        Some(cause)
    }

    /// Forwards what the child wrote before its end, and returns the cause: its exit status, if
    /// it has exited meanwhile.
    async fn forward_final_output(
        &mut self,
        cause: ExitCause,
        forwarder: &mut StdoutForwarder,
    ) -> ExitCause {
        let cause = match cause {
            ExitCause::StdoutClosed | ExitCause::StdinFailed(_) => {
                match timeout(LINGER_TIMEOUT, self.process.exited()).await {
                    Ok(exit) => exit.map_or_else(ExitCause::WaitFailed, ExitCause::Exited),
                    Err(_) => cause,
                }
            }
            ExitCause::StdoutFailed(_) => return cause,
            ExitCause::Exited(_) | ExitCause::WaitFailed(_) => cause,
        };
        if let ExitCause::Exited(_) = cause {
            // Otherwise a descendant could keep the output open. What cannot be listed now is
            // killed in the end.
            let _ = self.process.signal(Signal::KILL).await;
        }
        let stop_timeout = self.shared.config.stop_timeout;
        let until = Instant::now() + stop_timeout;
        let rest = forwarder.forward_remaining(&mut self.stdout, until);
        tokio::select! {
            _ = timeout(stop_timeout + LINGER_TIMEOUT, rest) => {}
            never = run_then_pend(self.stderr.log()) => never,
        }
        // The last line of stderr usually says why it has exited.
        let _ = timeout(LINGER_TIMEOUT, self.stderr.log()).await;
        cause
    }

    /// Stops the child and all that it has started. If its session has ended, the child first
    /// gets the messages that are still in the queue.
    async fn stop(mut self, messages: Option<ClientMessages>) {
        let was_unexpected = messages.is_none();
        let (started, stop_timeout) = (Instant::now(), self.shared.config.stop_timeout);
        let mut is_closed = timeout(stop_timeout / 4, self.finish_stdin(messages)).await.is_ok();
        self.stdin.close();
        if !is_closed {
            if let Err(error) = self.process.signal(Signal::TERM).await {
                tracing::debug!(pid = self.process.id(), %error,
                    "cannot list the processes of a stdio process");
            }
            is_closed = timeout_at(started + stop_timeout, self.wait_until_closed()).await.is_ok();
        }
        if !is_closed {
            let _ = self.process.signal(Signal::KILL).await;
            // Reads the rest of its stderr.
            let _ = timeout(LINGER_TIMEOUT, self.wait_until_closed()).await;
        }
        let (session, process) = (self.session, self.process.id());
        self.process.end(session).await;
        let ended = SessionEvent::ProcessEnded { process, was_unexpected };
        self.observers.on_session_event(session, &ended);
    }

    /// Writes the remaining messages, and closes the stdin of the child. Returns when the child
    /// has ended.
    async fn finish_stdin(&mut self, messages: Option<ClientMessages>) {
        let Self { process, stdin, stdout, stderr, .. } = self;
        let finish = async {
            if let Some(mut messages) = messages {
                let _ = stdin.write_messages(&mut messages).await;
            }
            stdin.close();
        };
        tokio::select! {
            () = wait_until_closed(process, stdout, stderr) => {}
            never = run_then_pend(finish) => never,
        }
    }

    async fn wait_until_closed(&mut self) {
        wait_until_closed(&mut self.process, &mut self.stdout, &mut self.stderr).await;
    }
}

/// Waits until a process has exited, and no process has its outputs open.
async fn wait_until_closed(
    process: &mut Process,
    stdout: &mut Lines<ChildStdout>,
    stderr: &mut Stderr,
) {
    let exit = async { drop(process.exited().await) };
    tokio::join!(exit, stdout.discard_all(), stderr.log());
}

/// Runs `work` to its end, and then never returns.
async fn run_then_pend<T>(work: impl Future) -> T {
    work.await;
    pending().await
}
