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
    parked::{Offer, Served},
    process::Process,
    pumps::{Silence, Speaker, Stderr},
    stdin::Stdin,
};
use crate::{ClientMessages, ClientSender, OpenError, SessionId, SessionPermit};

/// How long to wait for what is on its way already: the rest of an output, or the exit of
/// a process whose output has ended.
const MOMENT: Duration = Duration::from_millis(100);

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
}

impl Child {
    /// Starts a child, without blocking the threads of the runtime.
    pub(super) async fn start(shared: Arc<Shared>, session: SessionId) -> Result<Self, OpenError> {
        let blocking = Arc::clone(&shared);
        let start = move || {
            let started = Process::start(&blocking.settings, &blocking.system);
            started.map_err(|error| blocking.settings.start_error(error))
        };
        let (process, pipes) = spawn_blocking(start).await??;
        let (stdin, stdout, stderr) = match pipes.register() {
            Ok(pipes) => pipes,
            Err(error) => {
                // It runs already, and may have started others.
                process.kill(session).await;
                return Err(shared.settings.start_error(error).into());
            }
        };
        tracing::debug!(session = %session.short(), pid = process.id(), "server was started");
        Ok(Self {
            process,
            stdin: Stdin::new(stdin),
            stdout: Lines::new(stdout, shared.settings.line_bytes_max),
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
        peer: ClientSender,
        mut inbox: ClientMessages,
        mut place: SessionPermit,
    ) {
        let mut speaker = Speaker::new(peer);
        let gone = loop {
            let ended = inbox.ended();
            let gone = tokio::select! {
                biased;
                () = ended => None,
                gone = self.converse(&mut inbox, &mut speaker) => gone,
            };
            if let Some(gone) = gone {
                break gone;
            }
            let Some(next) = self.wait_for_client(&mut place).await else {
                return self.end(Some(inbox)).await;
            };
            let (peer, next) = next;
            inbox = next;
            place = inbox.permit();
            let (before, session) = (self.session.short(), peer.session_id());
            peer.set_process(self.process.id());
            speaker = Speaker::new(peer);
            tracing::info!(session = %session.short(), %before, pid = self.process.id(),
                "session gets a server that has begun to start before");
            self.session = session;
            self.stderr.set_session(session);
            // The child has heard already what its client says first. Without it, the session
            // has ended.
            let _ = inbox.recv().await;
        };
        let gone = self.settle(gone, &mut speaker).await;
        let session = self.session.short();
        let why = match self.stderr.last() {
            Some(line) => format!("{gone}; the last line of its stderr: {line}"),
            None => gone.to_string(),
        };
        match gone {
            Gone::Unreadable(_) | Gone::Lost(_) => {
                tracing::error!(%session, why, "server is given up");
            }
            Gone::Exited(_) | Gone::Silent | Gone::Deaf(_) => {
                tracing::warn!(%session, why, "server is gone");
            }
        }
        // Ends the session, and the requests that are pending.
        inbox.close(why);
        self.end(None).await;
    }

    /// Goes on starting for a while, though the client has left, and returns the next session
    /// of a client that says the same; `None` where the child is not starting any more.
    /// Meanwhile it has no place.
    async fn wait_for_client(&mut self, place: &mut SessionPermit) -> Option<Served> {
        let start_grace = self.shared.settings.start_grace;
        let initialize = self.stdin.only_message()?;
        if start_grace.is_zero() || !self.stdout.is_untouched() {
            return None;
        }
        let mut next = self.shared.parked.park(initialize)?;
        let session = self.session.short();
        tracing::info!(%session, pid = self.process.id(),
            "client left before its server had started, which goes on for the next client");
        *place = SessionPermit::none();
        tokio::select! {
            biased;
            _ = self.process.exited() => {
                next.close();
                if let Ok(offer) = next.try_recv() {
                    offer.refuse();
                }
                return None;
            }
            offer = &mut next => return offer.ok().map(Offer::take),
            () = sleep(start_grace) => {}
            never = forever(self.stderr.log()) => never,
        }
        // A client may have come at the last moment.
        next.close();
        next.try_recv().ok().map(Offer::take)
    }

    /// Carries messages both ways until that cannot go on; `None` says that the session has
    /// ended.
    async fn converse(
        &mut self,
        inbox: &mut ClientMessages,
        speaker: &mut Speaker,
    ) -> Option<Gone> {
        let gone = tokio::select! {
            exit = self.process.exited() => exit.map_or_else(Gone::Lost, Gone::Exited),
            told = self.stdin.tell(inbox) => Gone::Deaf(told.err()?),
            silence = speaker.speak(&mut self.stdout) => match silence {
                Silence::End => Gone::Silent,
                Silence::Unreadable(error) => Gone::Unreadable(error),
            },
            never = forever(self.stderr.log()) => never,
        };
        Some(gone)
    }

    /// Finds out whether the child has exited, and hears what it said before that.
    async fn settle(&mut self, gone: Gone, speaker: &mut Speaker) -> Gone {
        let gone = match gone {
            Gone::Silent | Gone::Deaf(_) => match timeout(MOMENT, self.process.exited()).await {
                Ok(exit) => exit.map_or_else(Gone::Lost, Gone::Exited),
                Err(_) => gone,
            },
            Gone::Unreadable(_) => return gone,
            Gone::Exited(_) | Gone::Lost(_) => gone,
        };
        if let Gone::Exited(_) = gone {
            // Nobody speaks for the child, so that its output ends.
            self.process.kill_group();
        }
        let patience = self.shared.settings.stop_timeout;
        let last_words = last_words(&mut self.stdout, speaker, Instant::now() + patience);
        tokio::select! {
            _ = timeout(patience + MOMENT, last_words) => {}
            never = forever(self.stderr.log()) => never,
        }
        // What a process says last is mostly why it has exited.
        let _ = timeout(MOMENT, self.stderr.log()).await;
        gone
    }

    /// Ends the child and all that it has started. Where the session has ended, it is still
    /// told what is in the inbox.
    async fn end(mut self, inbox: Option<ClientMessages>) {
        let (begun, stop_timeout) = (Instant::now(), self.shared.settings.stop_timeout);
        let mut is_over = timeout(stop_timeout / 4, self.end_stdin(inbox)).await.is_ok();
        self.stdin.close();
        if !is_over {
            self.process.terminate().await;
            is_over = timeout_at(begun + stop_timeout, self.is_over()).await.is_ok();
        }
        if !is_over {
            self.process.kill_group();
            // What is left of an output is nobody's but a process's that has left the group.
            let _ = timeout(MOMENT, self.is_over()).await;
        }
        let session = self.session;
        // There may be some that hold neither of the outputs.
        self.process.kill(session).await;
        tracing::debug!(session = %session.short(), "server has ended");
    }

    /// Tells the child what it has to hear, and that this is the end. Returns when the child
    /// has ended.
    async fn end_stdin(&mut self, inbox: Option<ClientMessages>) {
        let Self { process, stdin, stdout, stderr, .. } = self;
        let tell = async {
            if let Some(mut inbox) = inbox {
                let _ = stdin.tell(&mut inbox).await;
            }
            stdin.close();
        };
        tokio::select! {
            () = is_over(process, stdout, stderr) => {}
            never = forever(tell) => never,
        }
    }

    async fn is_over(&mut self) {
        is_over(&mut self.process, &mut self.stdout, &mut self.stderr).await;
    }
}

/// Waits until a process has exited, and nobody has its outputs any more.
async fn is_over(process: &mut Process, stdout: &mut Lines<ChildStdout>, stderr: &mut Stderr) {
    let exit = async { drop(process.exited().await) };
    tokio::join!(exit, stdout.drain(), stderr.log());
}

/// Tells the client what is in the pipe already. After a while it waits for no reader.
async fn last_words(stdout: &mut Lines<ChildStdout>, speaker: &mut Speaker, until: Instant) {
    loop {
        if timeout_at(until, speaker.say_rest()).await.is_err() {
            speaker.say_rest_now();
        }
        match timeout(MOMENT, stdout.next()).await {
            Ok(Ok(Some(Line::Whole(line)))) => speaker.begin(line),
            Ok(Ok(Some(Line::Cut(beginning)))) => {
                if speaker.say_too_long(beginning, stdout).await.is_err() {
                    return;
                }
            }
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        }
    }
}

/// Does `work`, and never returns.
async fn forever<T>(work: impl Future) -> T {
    work.await;
    pending().await
}
