//! The life of one child.

use std::{
    future::{Future, pending},
    io,
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    process::ChildStdout,
    task::spawn_blocking,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Shared,
    lines::{Line, Lines},
    output::{Stderr, StdoutEnd, StdoutForwarder},
    parked::{Offer, SessionEndpoints},
    process::Process,
    stdin::Stdin,
};
use crate::{ClientMessages, ClientSender, OpenError, SessionId, SessionPermit};

/// How long to wait for what is on its way already: the rest of an output, or the exit of
/// a process whose output has ended.
const LINGER_TIMEOUT: Duration = Duration::from_millis(100);

/// A process that answers the messages of a session.
pub(super) struct Child {
    process: Process,
    stdin: Stdin,
    stdout: Lines<ChildStdout>,
    stderr: Stderr,
    session: SessionId,
    shared: Arc<Shared>,
}

/// Why a session has no server any more.
#[derive(Debug, Error)]
enum ExitCause {
    #[error("it has exited: {0}")]
    Exited(ExitStatus),
    #[error("it cannot be waited for: {0}")]
    WaitFailed(io::Error),
    #[error("it has closed its stdout")]
    StdoutClosed,
    #[error("its stdout cannot be read: {0}")]
    StdoutFailed(io::Error),
    #[error("it takes no messages: {0}")]
    StdinFailed(io::Error),
}

impl Child {
    /// Starts a child, without blocking the threads of the runtime.
    pub(super) async fn start(shared: Arc<Shared>, session: SessionId) -> Result<Self, OpenError> {
        let blocking = Arc::clone(&shared);
        let start = move || {
            let started = Process::start(&blocking.config, &blocking.supervisor);
            started.map_err(|error| blocking.config.start_error(error))
        };
        let (process, pipes) = spawn_blocking(start).await??;
        let (stdin, stdout, stderr) = match pipes.register() {
            Ok(pipes) => pipes,
            Err(error) => {
                // It runs already, and may have started others.
                process.kill(session).await;
                return Err(shared.config.start_error(error).into());
            }
        };
        tracing::debug!(session = %session.short(), pid = process.id(), "server was started");
        Ok(Self {
            process,
            stdin: Stdin::new(stdin),
            stdout: Lines::new(stdout, shared.config.line_bytes_max),
            stderr: Stderr::new(stderr, session),
            session,
            shared,
        })
    }

    pub(super) fn process_id(&self) -> i32 {
        self.process.id()
    }

    /// Serves a session until it ends, or the child does. A child that is still starting then
    /// may serve another one. It has a place until it has ended, which takes longer.
    pub(super) async fn serve(
        mut self,
        client: ClientSender,
        mut messages: ClientMessages,
        mut permit: SessionPermit,
    ) {
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
            let Some(next) = self.wait_for_next_client(&mut permit).await else {
                return self.stop(Some(messages)).await;
            };
            let (client, next) = next;
            messages = next;
            permit = messages.permit();
            let (before, session) = (self.session.short(), client.session_id());
            client.set_process(self.process.id());
            forwarder = StdoutForwarder::new(client);
            tracing::info!(session = %session.short(), %before, pid = self.process.id(),
                "session gets a server that has begun to start before");
            self.session = session;
            self.stderr.set_session(session);
            // The child has heard already what its client says first. Without it, the session
            // has ended.
            let _ = messages.recv().await;
        };
        let cause = self.forward_final_output(cause, &mut forwarder).await;
        let session = self.session.short();
        let why = match self.stderr.last() {
            Some(line) => format!("{cause}; the last line of its stderr: {line}"),
            None => cause.to_string(),
        };
        match cause {
            ExitCause::StdoutFailed(_) | ExitCause::WaitFailed(_) => {
                tracing::error!(%session, why, "server is given up");
            }
            ExitCause::Exited(_) | ExitCause::StdoutClosed | ExitCause::StdinFailed(_) => {
                tracing::warn!(%session, why, "server is cause");
            }
        }
        // Ends the session, and the requests that are pending.
        messages.close(why);
        self.stop(None).await;
    }

    /// Goes on starting for a while, though the client has left, and returns the next session
    /// of a client that says the same; `None` where the child is not starting any more.
    /// Meanwhile it has no permit.
    async fn wait_for_next_client(
        &mut self,
        permit: &mut SessionPermit,
    ) -> Option<SessionEndpoints> {
        let start_grace = self.shared.config.start_grace;
        let initialize = self.stdin.only_message()?;
        if start_grace.is_zero() || !self.stdout.is_unread() {
            return None;
        }
        let mut next = self.shared.parked.park(initialize)?;
        let session = self.session.short();
        tracing::info!(%session, pid = self.process.id(),
            "client left before its server had started, which goes on for the next client");
        *permit = SessionPermit::none();
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
        // A client may have come at the last moment.
        next.close();
        next.try_recv().ok().map(Offer::accept)
    }

    /// Carries messages both ways until that cannot go on; `None` says that the session has
    /// ended.
    async fn relay(
        &mut self,
        messages: &mut ClientMessages,
        forwarder: &mut StdoutForwarder,
    ) -> Option<ExitCause> {
        let cause = tokio::select! {
            exit = self.process.exited() => exit.map_or_else(ExitCause::WaitFailed, ExitCause::Exited),
            told = self.stdin.write_messages(messages) => ExitCause::StdinFailed(told.err()?),
            silence = forwarder.forward(&mut self.stdout) => match silence {
                StdoutEnd::Eof => ExitCause::StdoutClosed,
                StdoutEnd::Failed(error) => ExitCause::StdoutFailed(error),
            },
            never = run_then_pend(self.stderr.log()) => never,
        };
        Some(cause)
    }

    /// Finds out whether the child has exited, and hears what it said before that.
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
            // Nobody speaks for the child, so that its output ends.
            self.process.kill_group();
        }
        let patience = self.shared.config.stop_timeout;
        let last_words =
            forward_rest_of_stdout(&mut self.stdout, forwarder, Instant::now() + patience);
        tokio::select! {
            _ = timeout(patience + LINGER_TIMEOUT, last_words) => {}
            never = run_then_pend(self.stderr.log()) => never,
        }
        // What a process says last is mostly why it has exited.
        let _ = timeout(LINGER_TIMEOUT, self.stderr.log()).await;
        cause
    }

    /// Ends the child and all that it has started. Where the session has ended, it is still
    /// told what is in the messages.
    async fn stop(mut self, messages: Option<ClientMessages>) {
        let (begun, stop_timeout) = (Instant::now(), self.shared.config.stop_timeout);
        let mut is_over = timeout(stop_timeout / 4, self.finish_stdin(messages)).await.is_ok();
        self.stdin.close();
        if !is_over {
            self.process.terminate().await;
            is_over = timeout_at(begun + stop_timeout, self.wait_until_closed()).await.is_ok();
        }
        if !is_over {
            self.process.kill_group();
            // What is left of an output is nobody's but a process's that has left the group.
            let _ = timeout(LINGER_TIMEOUT, self.wait_until_closed()).await;
        }
        let session = self.session;
        // There may be some that hold neither of the outputs.
        self.process.kill(session).await;
        tracing::debug!(session = %session.short(), "server has ended");
    }

    /// Tells the child what it has to hear, and that this is the end. Returns when the child
    /// has ended.
    async fn finish_stdin(&mut self, messages: Option<ClientMessages>) {
        let Self { process, stdin, stdout, stderr, .. } = self;
        let tell = async {
            if let Some(mut messages) = messages {
                let _ = stdin.write_messages(&mut messages).await;
            }
            stdin.close();
        };
        tokio::select! {
            () = wait_until_closed(process, stdout, stderr) => {}
            never = run_then_pend(tell) => never,
        }
    }

    async fn wait_until_closed(&mut self) {
        wait_until_closed(&mut self.process, &mut self.stdout, &mut self.stderr).await;
    }
}

/// Waits until a process has exited, and nobody has its outputs any more.
async fn wait_until_closed(
    process: &mut Process,
    stdout: &mut Lines<ChildStdout>,
    stderr: &mut Stderr,
) {
    let exit = async { drop(process.exited().await) };
    tokio::join!(exit, stdout.discard_all(), stderr.log());
}

/// Tells the client what is in the pipe already. After a while it waits for no reader.
async fn forward_rest_of_stdout(
    stdout: &mut Lines<ChildStdout>,
    forwarder: &mut StdoutForwarder,
    until: Instant,
) {
    loop {
        if timeout_at(until, forwarder.forward_rest()).await.is_err() {
            forwarder.forward_rest_without_waiting();
        }
        match timeout(LINGER_TIMEOUT, stdout.next()).await {
            Ok(Ok(Some(Line::Complete(line)))) => forwarder.start_line(line),
            Ok(Ok(Some(Line::Truncated(beginning)))) => {
                if forwarder.handle_too_long(beginning, stdout).await.is_err() {
                    return;
                }
            }
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        }
    }
}

/// Does `work`, and never returns.
async fn run_then_pend<T>(work: impl Future) -> T {
    work.await;
    pending().await
}
