//! Links: proxies between a client and a server that inject faults.

use std::time::Duration;

use rejoin_tests::kit::{Fault, Faults, Rng};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, split};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::kernel::time_of;

/// The drawn behaviour of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkPlan {
    pub(crate) fault: LinkFault,
    pub(crate) pace: Pace,
    /// How long it takes until the server sees the connection.
    pub(crate) latency: Duration,
}

/// The fault of a link. Sizes are in bytes sent by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkFault {
    /// Closed by one of the two sides.
    None,
    /// Cut before anything is sent to the server, or before anything comes back.
    CutEarly { is_forwarded: bool },
    /// Cut after this many bytes.
    CutAfter(usize),
    /// Cut after this many bytes; what the server sends after them is discarded.
    CutUnread(usize),
    /// Closed for the client after this many bytes; the server does not notice. The proxy may
    /// go on reading what the server sends.
    ServerHalfOpen { bytes: usize, is_read: bool },
    /// Closed for the server after this many bytes; the client does not notice.
    ClientHalfOpen(usize),
}

/// How a link forwards what the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once.
    Fast,
    /// A few bytes at a time, at this interval.
    Slow(Duration),
    /// At this many bytes per second, in both phases.
    Steady(u32),
    /// Not for this long, after this many bytes.
    Stalled(usize, Duration),
}

/// What a link did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkOutcome {
    /// The fault that took effect.
    pub(crate) fault: LinkFault,
    /// The pace that took effect.
    pub(crate) pace: Pace,
    /// Whether the server closed it while it was half-open.
    pub(crate) is_closed_by_server: bool,
}

/// How long links may block a peer before the fault-free phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkTimeouts {
    /// A reader, or a writer that does not notice.
    pub(crate) stall: Duration,
    /// A server whose client has closed the connection.
    pub(crate) half_open: Duration,
}

impl LinkPlan {
    /// A link without faults.
    pub(crate) const FAULT_FREE: Self =
        Self { fault: LinkFault::None, pace: Pace::Fast, latency: Duration::ZERO };

    /// Draws a link that stalls for `longest` at most.
    pub(crate) fn draw(rng: &mut Rng, faults: &Faults, longest: Duration) -> Self {
        let draws = |rng: &mut Rng, fault| rng.chance(faults.rate(fault));
        let bytes = |rng: &mut Rng| rng.size(1, 2_500);
        let fault = if draws(rng, Fault::CutEarly) {
            LinkFault::CutEarly { is_forwarded: rng.chance(700) }
        } else if draws(rng, Fault::CutMidway) {
            LinkFault::CutAfter(bytes(rng))
        } else if draws(rng, Fault::CutUnread) {
            LinkFault::CutUnread(bytes(rng))
        } else if draws(rng, Fault::ServerHalfOpen) {
            LinkFault::ServerHalfOpen { bytes: bytes(rng), is_read: rng.chance(500) }
        } else if draws(rng, Fault::ClientHalfOpen) {
            LinkFault::ClientHalfOpen(bytes(rng))
        } else {
            LinkFault::None
        };
        let pace = if draws(rng, Fault::SlowReader) {
            Pace::Slow(rng.millis(1, 40))
        } else if draws(rng, Fault::StalledReader) {
            let most = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            Pace::Stalled(bytes(rng), rng.millis(most / 10, most))
        } else {
            Pace::Fast
        };
        Self { fault, pace, latency: rng.millis(0, 20) }
    }

    /// Returns whether it delays nothing.
    pub(crate) fn is_fault_free(self) -> bool {
        self.fault == LinkFault::None && self.pace == Pace::Fast
    }

    /// Returns after how many bytes the fault takes effect.
    fn limit(self) -> usize {
        match self.fault {
            LinkFault::None => usize::MAX,
            LinkFault::CutEarly { .. } => 0,
            LinkFault::CutAfter(bytes)
            | LinkFault::CutUnread(bytes)
            | LinkFault::ClientHalfOpen(bytes)
            | LinkFault::ServerHalfOpen { bytes, .. } => bytes,
        }
    }
}

impl LinkOutcome {
    /// Returns its coverage counters.
    pub(crate) fn kinds(self) -> impl Iterator<Item = &'static str> {
        let found = self.is_closed_by_server.then_some("links: half-open, closed by the server");
        self.fault.kind().into_iter().chain(self.pace.kind()).chain(found)
    }
}

impl Pace {
    const fn kind(self) -> Option<&'static str> {
        match self {
            Self::Fast => None,
            Self::Slow(_) => Some("links: slow"),
            Self::Steady(_) => Some("links: steady"),
            Self::Stalled(..) => Some("links: stalled"),
        }
    }
}

impl LinkFault {
    const fn kind(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::CutEarly { .. } => Some("links: cut before the first byte"),
            Self::CutAfter(_) => Some("links: cut after some bytes"),
            Self::CutUnread(_) => Some("links: cut with unread data"),
            Self::ServerHalfOpen { .. } => Some("links: half-open at the server"),
            Self::ClientHalfOpen(_) => Some("links: half-open at the client"),
        }
    }
}

/// How many bytes a slow link forwards at once.
const SLOW_BYTES: usize = 48;
/// How many bytes any other link forwards at once, except a steady one.
const BYTES: usize = 4_096;
/// How often per second a steady link forwards bytes.
const STEPS_A_SECOND: u32 = 20;

/// How long a client is left with a connection that its server has lost.
const CLIENT_HALF_OPEN_MAX: Duration = Duration::from_secs(1_000);

/// How long to discard what a server sent, to find out whether it closed the connection.
const CLOSE_DETECTION_MAX: Duration = Duration::from_millis(100);

/// Forwards bytes in both directions until one side closes the connection, or the fault takes
/// effect. `near` leads to the client, `far` to the server. A link that blocks a peer does so
/// until the fault-free phase at most.
pub(crate) async fn relay(
    near: impl AsyncRead + AsyncWrite,
    far: impl AsyncRead + AsyncWrite,
    plan: LinkPlan,
    longest: LinkTimeouts,
    mut fault_free: watch::Receiver<bool>,
) -> LinkOutcome {
    let mut outcome =
        LinkOutcome { fault: plan.fault, pace: Pace::Fast, is_closed_by_server: false };
    if plan.fault == (LinkFault::CutEarly { is_forwarded: false }) {
        return outcome;
    }
    sleep(plan.latency).await;
    let (mut near_read, mut near_write) = split(near);
    let (mut far_read, mut far_write) = split(far);
    let is_faulty = {
        let up = tokio::io::copy(&mut near_read, &mut far_write);
        let down = forward_response(
            &mut far_read,
            &mut near_write,
            plan,
            &mut fault_free,
            &mut outcome.pace,
        );
        tokio::select! {
            biased;
            is_faulty = down => is_faulty,
            // The client closed the connection.
            _ = up => false,
        }
    };
    if !is_faulty {
        return LinkOutcome { fault: LinkFault::None, ..outcome };
    }
    match plan.fault {
        LinkFault::None | LinkFault::CutEarly { .. } | LinkFault::CutAfter(_) => {}
        LinkFault::CutUnread(_) => {
            wait_for(&mut fault_free, longest.stall, discard(&mut far_read)).await;
        }
        LinkFault::ServerHalfOpen { is_read, .. } => {
            drop((near_read, near_write));
            if is_read {
                let read = discard(&mut far_read);
                outcome.is_closed_by_server = wait_for(&mut fault_free, longest.stall, read).await;
            } else {
                wait_for(&mut fault_free, longest.half_open, std::future::pending()).await;
                let read = timeout(CLOSE_DETECTION_MAX, discard(&mut far_read));
                outcome.is_closed_by_server = read.await.is_ok();
            }
        }
        LinkFault::ClientHalfOpen(_) => {
            drop((far_read, far_write));
            // The client must notice by itself.
            wait_for(&mut fault_free, CLIENT_HALF_OPEN_MAX, discard(&mut near_read)).await;
        }
    }
    outcome
}

/// Forwards what the server sends. Returns whether the fault took effect, rather than the
/// server closing the connection. Sets `pace` once it has delayed something.
async fn forward_response(
    far: &mut (impl AsyncRead + Unpin),
    near: &mut (impl AsyncWrite + Unpin),
    plan: LinkPlan,
    fault_free: &mut watch::Receiver<bool>,
    pace: &mut Pace,
) -> bool {
    let step = match plan.pace {
        Pace::Steady(rate) => usize::try_from(rate / STEPS_A_SECOND).unwrap_or(BYTES).max(1),
        Pace::Fast | Pace::Slow(_) | Pace::Stalled(..) => BYTES,
    };
    let mut buffer = vec![0; step];
    let mut has_waited = false;
    let mut passed = 0_usize;
    let mut stall = plan.pace;
    loop {
        let is_slow = matches!(plan.pace, Pace::Slow(_)) && !*fault_free.borrow();
        let most = if is_slow { SLOW_BYTES } else { step };
        let Some(buffer) = buffer.get_mut(..most) else { return false };
        let Ok(count @ 1..) = far.read(buffer).await else {
            // An error means that the client has closed the connection, too.
            let _ = near.shutdown().await;
            return false;
        };
        let is_fault_free = *fault_free.borrow();
        let left = if is_fault_free { usize::MAX } else { plan.limit().saturating_sub(passed) };
        let mut data = buffer.get(..count.min(left)).unwrap_or_default();
        if let Pace::Stalled(at, time) = stall
            && passed + data.len() >= at
        {
            let (before, after) = data.split_at(at.saturating_sub(passed).min(data.len()));
            if near.write_all(before).await.is_err() {
                return false;
            }
            passed += before.len();
            has_waited = !is_fault_free;
            wait_for(fault_free, time, std::future::pending()).await;
            stall = Pace::Fast;
            data = after;
        }
        if has_waited && !data.is_empty() {
            *pace = plan.pace;
        }
        if near.write_all(data).await.is_err() {
            return false;
        }
        passed += data.len();
        if !is_fault_free && passed >= plan.limit() {
            return true;
        }
        if let Pace::Slow(time) = plan.pace
            && is_slow
        {
            has_waited = true;
            wait_for(fault_free, time, std::future::pending()).await;
        } else if let Pace::Steady(rate) = plan.pace {
            has_waited = true;
            sleep(time_of(count, rate)).await;
        }
    }
}

/// Reads and discards everything until the end.
async fn discard<T: AsyncRead>(from: &mut ReadHalf<T>) {
    let mut buffer = vec![0; BYTES];
    while let Ok(1..) = from.read(&mut buffer).await {}
}

/// Waits for a future, but not longer than `longest` or the phase with faults. Returns whether
/// it completed.
async fn wait_for(
    fault_free: &mut watch::Receiver<bool>,
    longest: Duration,
    wait: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        biased;
        () = wait => true,
        // An error means that the simulation has ended.
        _ = fault_free.wait_for(|is_fault_free| *is_fault_free) => false,
        () = sleep(longest) => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const LONGEST: LinkTimeouts =
        LinkTimeouts { stall: Duration::from_secs(9), half_open: Duration::from_secs(99) };

    /// Returns what the client receives if the server sends `sent` bytes, and whether it sees
    /// the end.
    async fn got(fault: LinkFault, pace: Pace, sent: usize) -> (usize, bool, Pace) {
        let (mut client, near) = duplex(64);
        let (far, mut server) = duplex(64);
        let (_phase, fault_free) = watch::channel(false);
        let plan = LinkPlan { fault, pace, latency: Duration::ZERO };
        let link = tokio::spawn(relay(near, far, plan, LONGEST, fault_free));
        let serving = tokio::spawn(async move {
            let _ = server.write_all(&vec![7; sent]).await;
            std::future::pending::<()>().await;
        });
        let (mut count, mut buffer) = (0, vec![0; 100]);
        let has_ended = loop {
            match timeout(Duration::from_secs(60), client.read(&mut buffer)).await {
                Err(_) => break false,
                Ok(Ok(0) | Err(_)) => break true,
                Ok(Ok(more)) => count += more,
            }
        };
        serving.abort();
        drop(client);
        (count, has_ended, link.await.unwrap().pace)
    }

    #[tokio::test(start_paused = true)]
    async fn every_fault_takes_effect() {
        let slow = Pace::Slow(Duration::from_millis(7));
        let stalled = |bytes| Pace::Stalled(bytes, Duration::from_secs(5));
        for (fault, pace, expected) in [
            (LinkFault::None, Pace::Fast, (500, false, Pace::Fast)),
            (LinkFault::None, slow, (500, false, slow)),
            (LinkFault::None, Pace::Steady(20), (500, false, Pace::Steady(20))),
            (LinkFault::None, stalled(200), (500, false, stalled(200))),
            (LinkFault::None, stalled(501), (500, false, Pace::Fast)),
            (LinkFault::CutEarly { is_forwarded: true }, Pace::Fast, (0, true, Pace::Fast)),
            (LinkFault::CutEarly { is_forwarded: false }, Pace::Fast, (0, true, Pace::Fast)),
            (LinkFault::CutAfter(123), Pace::Fast, (123, true, Pace::Fast)),
            (LinkFault::CutAfter(40), slow, (40, true, Pace::Fast)),
            (LinkFault::CutUnread(123), Pace::Fast, (123, true, Pace::Fast)),
            (
                LinkFault::ServerHalfOpen { bytes: 123, is_read: true },
                Pace::Fast,
                (123, true, Pace::Fast),
            ),
            (
                LinkFault::ServerHalfOpen { bytes: 123, is_read: false },
                Pace::Fast,
                (123, true, Pace::Fast),
            ),
            (LinkFault::ClientHalfOpen(123), Pace::Fast, (123, false, Pace::Fast)),
        ] {
            assert_eq!(got(fault, pace, 500).await, expected, "{fault:?} {pace:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_link_blocks_server_until_faults_stop() {
        let (client, near) = duplex(64);
        let (far, mut server) = duplex(64);
        let (phase, fault_free) = watch::channel(false);
        let fault = LinkFault::ServerHalfOpen { bytes: 3, is_read: false };
        let plan = LinkPlan { fault, ..LinkPlan::FAULT_FREE };
        let link = tokio::spawn(relay(near, far, plan, LONGEST, fault_free));
        server.write_all(b"12345").await.unwrap();
        let mut buffer = [0; 9];
        let read = server.read(&mut buffer);
        assert!(timeout(Duration::from_secs(50), read).await.is_err());
        phase.send_replace(true);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(
            link.await.unwrap(),
            LinkOutcome { fault, pace: Pace::Fast, is_closed_by_server: false }
        );
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn detects_server_that_closes_half_open_link() {
        for is_read in [false, true] {
            let (client, near) = duplex(64);
            let (far, mut server) = duplex(64);
            let (_phase, fault_free) = watch::channel(false);
            let fault = LinkFault::ServerHalfOpen { bytes: 3, is_read };
            let link = tokio::spawn(relay(
                near,
                far,
                LinkPlan { fault, ..LinkPlan::FAULT_FREE },
                LONGEST,
                fault_free,
            ));
            server.write_all(b"12345").await.unwrap();
            drop(server);
            assert!(link.await.unwrap().is_closed_by_server, "{is_read}");
            drop(client);
        }
    }
}
