//! The life of one child.

use std::{
    future::{Future, pending, ready},
    io,
    pin::pin,
    process::ExitStatus,
    time::Duration,
};

use rustix::process::Pid;
use thiserror::Error;
use tokio::{
    process::{Child as Process, ChildStderr, ChildStdin, ChildStdout},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Shared,
    group::Group,
    lines::{Line, Lines},
    pumps::{self, SHOWN_MAX, Silence},
};
use crate::{Inbox, Peer, SessionId};

/// How long to wait for what is on its way already: the rest of an output, or the exit of
/// a process whose output has ended.
const MOMENT: Duration = Duration::from_millis(100);

/// A process that answers the messages of a session, in a group of its own.
pub(super) struct Child {
    process: Process,
    group: Group,
    stdout: Lines<ChildStdout>,
    stderr: Lines<ChildStderr>,
    session: SessionId,
    kill_grace: Duration,
}

/// Why a session has no server any more.
#[derive(Debug, Error)]
enum Gone {
    #[error("it has exited: {0}")]
    Exited(ExitStatus),
    #[error("it cannot be waited for: {0}")]
    Lost(io::Error),
    #[error("it has closed its stdout")]
    Silent,
    #[error("its stdout cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("it takes no messages: {0}")]
    Deaf(io::Error),
    #[error("it has written a line of more than {0} bytes")]
    LineTooLong(usize),
}

/// Starts a child, and returns its stdin, too.
pub(super) fn start(shared: &Shared, session: SessionId) -> io::Result<(Child, ChildStdin)> {
    let (mut process, group) = spawn(shared)?;
    let stdin = process.stdin.take().ok_or_else(missing)?;
    let stdout = process.stdout.take().ok_or_else(missing)?;
    let stderr = process.stderr.take().ok_or_else(missing)?;
    let child = Child {
        process,
        group,
        stdout: Lines::new(stdout, shared.settings.line_bytes_max),
        stderr: Lines::new(stderr, SHOWN_MAX),
        session,
        kill_grace: shared.settings.kill_grace,
    };
    Ok((child, stdin))
}

/// Starts a process in a group of which the guard knows already, since rejoin may be killed
/// at any time; or, where there is no guard, in one of its own.
fn spawn(shared: &Shared) -> io::Result<(Process, Group)> {
    let guard = || shared.guard.clone();
    if let Some(founder) = guard().and_then(|guard| guard.found()) {
        let group = Group::new(founder.group(), guard());
        let process = shared.settings.command(Some(group.id())).spawn()?;
        return Ok((process, group));
    }
    let process = shared.settings.command(None).spawn()?;
    let id = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let group = Group::new(id.ok_or_else(missing)?, guard());
    Ok((process, group))
}

/// What is the matter with a process of which the system does not say what was asked for.
fn missing() -> io::Error {
    io::Error::other("the process was not started as a child")
}

impl Child {
    /// Serves a session until it ends, or the child does.
    pub(super) async fn serve(mut self, stdin: ChildStdin, peer: Peer, mut inbox: Inbox) {
        let ended = inbox.ended();
        let gone = {
            let mut hear = pin!(pumps::hear(&mut inbox, stdin));
            let gone = tokio::select! {
                biased;
                () = ended => None,
                gone = self.converse(hear.as_mut(), &peer) => Some(gone),
            };
            match gone {
                Some(gone) => gone,
                None => return self.end(hear).await,
            }
        };
        let gone = self.settle(gone, &peer).await;
        let session = self.session.short();
        match gone {
            Gone::LineTooLong(_) | Gone::Unreadable(_) | Gone::Lost(_) => {
                tracing::error!(%session, why = %gone, "server is given up");
            }
            Gone::Exited(_) | Gone::Silent | Gone::Deaf(_) => {
                tracing::warn!(%session, why = %gone, "server is gone");
            }
        }
        // Ends the session, and the requests that are pending.
        drop(inbox);
        self.end(ready(())).await;
    }

    /// Carries messages both ways until that cannot go on.
    async fn converse(&mut self, hear: impl Future<Output = io::Error>, peer: &Peer) -> Gone {
        let lines_max = self.stdout.bytes_max();
        tokio::select! {
            exit = self.process.wait() => exit.map_or_else(Gone::Lost, Gone::Exited),
            error = hear => Gone::Deaf(error),
            silence = pumps::speak(&mut self.stdout, peer) => match silence {
                Silence::End => Gone::Silent,
                Silence::Unreadable(error) => Gone::Unreadable(error),
                Silence::LineTooLong => Gone::LineTooLong(lines_max),
            },
            never = forever(pumps::log(&mut self.stderr, self.session)) => never,
        }
    }

    /// Finds out whether the child has exited, and hears what it said before that.
    async fn settle(&mut self, gone: Gone, peer: &Peer) -> Gone {
        let gone = match gone {
            Gone::Silent | Gone::Deaf(_) => match timeout(MOMENT, self.process.wait()).await {
                Ok(exit) => exit.map_or_else(Gone::Lost, Gone::Exited),
                Err(_) => gone,
            },
            Gone::Unreadable(_) | Gone::LineTooLong(_) => return gone,
            Gone::Exited(_) | Gone::Lost(_) => gone,
        };
        if let Gone::Exited(_) = gone {
            // Nobody speaks for the child, so that its output ends.
            self.group.kill();
        }
        tokio::select! {
            _ = timeout(self.kill_grace, last_words(&mut self.stdout, peer)) => {}
            never = forever(pumps::log(&mut self.stderr, self.session)) => never,
        }
        gone
    }

    /// Ends the child and its group, while `hear` still tells it what it has to hear.
    async fn end(mut self, hear: impl Future) {
        let (begun, kill_grace) = (Instant::now(), self.kill_grace);
        let end_of_stdin = async {
            tokio::select! {
                () = self.is_over() => {}
                never = forever(hear) => never,
            }
        };
        let mut is_over = timeout(kill_grace / 4, end_of_stdin).await.is_ok();
        if !is_over {
            self.group.terminate();
            is_over = timeout_at(begun + kill_grace, self.is_over()).await.is_ok();
        }
        // There may be some that hold neither of the outputs.
        self.group.kill();
        if !is_over {
            let _ = self.process.wait().await;
            // What is left of an output is nobody's but a process's that has left the group.
            let _ = timeout(MOMENT, self.is_over()).await;
        }
        tracing::debug!(session = %self.session.short(), "server has ended");
    }

    /// Waits until the process has exited, and nobody has its outputs any more.
    async fn is_over(&mut self) {
        let exit = async {
            let _ = self.process.wait().await;
            self.group.child_is_reaped();
        };
        tokio::join!(exit, self.stdout.drain(), pumps::log(&mut self.stderr, self.session));
    }
}

/// Tells the client what is in the pipe already.
async fn last_words(stdout: &mut Lines<ChildStdout>, peer: &Peer) {
    while let Ok(Ok(Some(Line::Whole(line)))) = timeout(MOMENT, stdout.next()).await {
        pumps::say(peer, line).await;
    }
}

/// Does `work`, and never returns.
async fn forever<T>(work: impl Future) -> T {
    work.await;
    pending().await
}
