//! Links: what stands between a client and a server, and what goes wrong in it.

use std::time::Duration;

use rejoin_tests::world::{Chance, Fault, Faults};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, split};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::kernel::time_of;

/// What is to become of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) end: End,
    pub(crate) pace: Pace,
    /// How long it takes until the server hears of the client.
    pub(crate) latency: Duration,
}

/// How a link ends. What is counted are the bytes that the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// When one of the two sides ends it.
    Sound,
    /// Before anything is sent to the server, or before anything comes back.
    Early { is_forwarded: bool },
    /// After so many bytes.
    After(usize),
    /// After so many bytes; what the server sends after that is passed on to nobody.
    Unread(usize),
    /// For the client, after so many bytes; the server is not told. Somebody may go on
    /// reading what it sends.
    HalfOpen { bytes: usize, is_read: bool },
    /// For the server, after so many bytes; the client is not told.
    Deaf(usize),
}

/// How a link passes on what comes from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once.
    Quick,
    /// A few bytes at a time, and this long between two.
    Slow(Duration),
    /// So many bytes a second, before and after everything is healed.
    Steady(u32),
    /// Nothing for so long, after so many bytes.
    Stalled(usize, Duration),
}

/// What has become of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    /// How it ended.
    pub(crate) end: End,
    /// Its pace, if anything came later because of it.
    pub(crate) pace: Pace,
    /// Whether the server ended it while it was half-open.
    pub(crate) is_found: bool,
}

/// For how long links let somebody wait, unless all is healed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Longest {
    /// A reader, or a writer whom nothing tells of it.
    pub(crate) stall: Duration,
    /// A server that writes to nobody.
    pub(crate) half_open: Duration,
}

impl Fate {
    /// Nothing goes wrong.
    pub(crate) const SOUND: Self =
        Self { end: End::Sound, pace: Pace::Quick, latency: Duration::ZERO };

    /// Draws what becomes of a link that stalls for `longest` at most.
    pub(crate) fn draw(luck: &mut Chance, faults: &Faults, longest: Duration) -> Self {
        let is = |luck: &mut Chance, fault| luck.strikes(faults.rate(fault));
        let bytes = |luck: &mut Chance| luck.size(1, 2_500);
        let end = if is(luck, Fault::CutEarly) {
            End::Early { is_forwarded: luck.strikes(700) }
        } else if is(luck, Fault::CutMidway) {
            End::After(bytes(luck))
        } else if is(luck, Fault::CutUnread) {
            End::Unread(bytes(luck))
        } else if is(luck, Fault::HalfOpen) {
            End::HalfOpen { bytes: bytes(luck), is_read: luck.strikes(500) }
        } else if is(luck, Fault::Deaf) {
            End::Deaf(bytes(luck))
        } else {
            End::Sound
        };
        let pace = if is(luck, Fault::Slow) {
            Pace::Slow(luck.millis(1, 40))
        } else if is(luck, Fault::Stalled) {
            let most = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            Pace::Stalled(bytes(luck), luck.millis(most / 10, most))
        } else {
            Pace::Quick
        };
        Self { end, pace, latency: luck.millis(0, 20) }
    }

    /// Returns whether nothing of it keeps a client waiting.
    pub(crate) fn is_sound(self) -> bool {
        self.end == End::Sound && self.pace == Pace::Quick
    }

    /// Returns after how many bytes it ends.
    fn limit(self) -> usize {
        match self.end {
            End::Sound => usize::MAX,
            End::Early { .. } => 0,
            End::After(bytes)
            | End::Unread(bytes)
            | End::Deaf(bytes)
            | End::HalfOpen { bytes, .. } => bytes,
        }
    }
}

impl Course {
    /// Returns as what it is counted.
    pub(crate) fn kinds(self) -> impl Iterator<Item = &'static str> {
        let found = self.is_found.then_some("links: half-open, and found by the server");
        self.end.kind().into_iter().chain(self.pace.kind()).chain(found)
    }
}

impl Pace {
    const fn kind(self) -> Option<&'static str> {
        match self {
            Self::Quick => None,
            Self::Slow(_) => Some("links: slow"),
            Self::Steady(_) => Some("links: steady"),
            Self::Stalled(..) => Some("links: stalled"),
        }
    }
}

impl End {
    const fn kind(self) -> Option<&'static str> {
        match self {
            Self::Sound => None,
            Self::Early { .. } => Some("links: cut before the first byte"),
            Self::After(_) => Some("links: cut midway"),
            Self::Unread(_) => Some("links: cut after all was written"),
            Self::HalfOpen { .. } => Some("links: half-open"),
            Self::Deaf(_) => Some("links: lost by the server alone"),
        }
    }
}

/// How many bytes a slow link passes on at once.
const SLOW_BYTES: usize = 48;
/// How many any other does, but for a steady one.
const BYTES: usize = 4_096;
/// How often a second a steady link passes something on while there is enough.
const STEPS_A_SECOND: u32 = 20;

/// For how long a client is left alone with a link that its server has lost.
const DEAF_MAX: Duration = Duration::from_secs(1_000);

/// For how long what a server has sent before it ended a link is read away, to see that end.
const ENDING_MAX: Duration = Duration::from_millis(100);

/// Passes on what two sides send until one of them ends, or the link meets its fate.
/// One that lets somebody wait does so no longer than until everything is healed.
pub(crate) async fn relay(
    near: impl AsyncRead + AsyncWrite,
    far: impl AsyncRead + AsyncWrite,
    fate: Fate,
    longest: Longest,
    mut healed: watch::Receiver<bool>,
) -> Course {
    let mut course = Course { end: fate.end, pace: Pace::Quick, is_found: false };
    if fate.end == (End::Early { is_forwarded: false }) {
        return course;
    }
    sleep(fate.latency).await;
    let (mut near_read, mut near_write) = split(near);
    let (mut far_read, mut far_write) = split(far);
    let is_met = {
        let up = tokio::io::copy(&mut near_read, &mut far_write);
        let down = pass_down(&mut far_read, &mut near_write, fate, &mut healed, &mut course.pace);
        tokio::select! {
            biased;
            is_met = down => is_met,
            // The client is gone.
            _ = up => false,
        }
    };
    if !is_met {
        return Course { end: End::Sound, ..course };
    }
    match fate.end {
        End::Sound | End::Early { .. } | End::After(_) => {}
        End::Unread(_) => {
            until(&mut healed, longest.stall, read_away(&mut far_read)).await;
        }
        End::HalfOpen { is_read, .. } => {
            drop((near_read, near_write));
            if is_read {
                let read = read_away(&mut far_read);
                course.is_found = until(&mut healed, longest.stall, read).await;
            } else {
                until(&mut healed, longest.half_open, std::future::pending()).await;
                let read = timeout(ENDING_MAX, read_away(&mut far_read));
                course.is_found = read.await.is_ok();
            }
        }
        End::Deaf(_) => {
            drop((far_read, far_write));
            // The client finds out by itself.
            until(&mut healed, DEAF_MAX, read_away(&mut near_read)).await;
        }
    }
    course
}

/// Passes on what the server sends. Returns whether the link has met its fate, or else
/// the server has ended it. Says its pace, once something comes later because of it.
async fn pass_down(
    far: &mut (impl AsyncRead + Unpin),
    near: &mut (impl AsyncWrite + Unpin),
    fate: Fate,
    healed: &mut watch::Receiver<bool>,
    pace: &mut Pace,
) -> bool {
    let step = match fate.pace {
        Pace::Steady(rate) => usize::try_from(rate / STEPS_A_SECOND).unwrap_or(BYTES).max(1),
        Pace::Quick | Pace::Slow(_) | Pace::Stalled(..) => BYTES,
    };
    let mut buffer = vec![0; step];
    let mut has_waited = false;
    let mut passed = 0_usize;
    let mut stalls = fate.pace;
    loop {
        let is_slow = matches!(fate.pace, Pace::Slow(_)) && !*healed.borrow();
        let most = if is_slow { SLOW_BYTES } else { step };
        let Some(buffer) = buffer.get_mut(..most) else { return false };
        let Ok(count @ 1..) = far.read(buffer).await else {
            // An error says that the client is gone, too.
            let _ = near.shutdown().await;
            return false;
        };
        let is_healed = *healed.borrow();
        let left = if is_healed { usize::MAX } else { fate.limit().saturating_sub(passed) };
        let mut data = buffer.get(..count.min(left)).unwrap_or_default();
        if let Pace::Stalled(at, time) = stalls
            && passed + data.len() >= at
        {
            let (before, after) = data.split_at(at.saturating_sub(passed).min(data.len()));
            if near.write_all(before).await.is_err() {
                return false;
            }
            passed += before.len();
            has_waited = !is_healed;
            until(healed, time, std::future::pending()).await;
            stalls = Pace::Quick;
            data = after;
        }
        if has_waited && !data.is_empty() {
            *pace = fate.pace;
        }
        if near.write_all(data).await.is_err() {
            return false;
        }
        passed += data.len();
        if !is_healed && passed >= fate.limit() {
            return true;
        }
        if let Pace::Slow(time) = fate.pace
            && is_slow
        {
            has_waited = true;
            until(healed, time, std::future::pending()).await;
        } else if let Pace::Steady(rate) = fate.pace {
            has_waited = true;
            sleep(time_of(count, rate)).await;
        }
    }
}

/// Reads what nobody gets, until there is no more.
async fn read_away<T: AsyncRead>(from: &mut ReadHalf<T>) {
    let mut buffer = vec![0; BYTES];
    while let Ok(1..) = from.read(&mut buffer).await {}
}

/// Waits for something, but not for longer, and not when everything is healed. Returns
/// whether it came.
async fn until(
    healed: &mut watch::Receiver<bool>,
    longest: Duration,
    wait: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        biased;
        () = wait => true,
        // An error says that the world is over.
        _ = healed.wait_for(|is_healed| *is_healed) => false,
        () = sleep(longest) => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const LONGEST: Longest =
        Longest { stall: Duration::from_secs(9), half_open: Duration::from_secs(99) };

    /// What the client gets where the server sends `sent`, and whether it is told of the end.
    async fn got(end: End, pace: Pace, sent: usize) -> (usize, bool, Pace) {
        let (mut client, near) = duplex(64);
        let (far, mut server) = duplex(64);
        let (_healing, healed) = watch::channel(false);
        let fate = Fate { end, pace, latency: Duration::ZERO };
        let link = tokio::spawn(relay(near, far, fate, LONGEST, healed));
        let serving = tokio::spawn(async move {
            let _ = server.write_all(&vec![7; sent]).await;
            std::future::pending::<()>().await;
        });
        let (mut count, mut buffer) = (0, vec![0; 100]);
        let is_told = loop {
            match timeout(Duration::from_secs(60), client.read(&mut buffer)).await {
                Err(_) => break false,
                Ok(Ok(0) | Err(_)) => break true,
                Ok(Ok(more)) => count += more,
            }
        };
        serving.abort();
        drop(client);
        (count, is_told, link.await.unwrap().pace)
    }

    #[tokio::test(start_paused = true)]
    async fn every_link_meets_its_fate() {
        let slow = Pace::Slow(Duration::from_millis(7));
        let stalled = |bytes| Pace::Stalled(bytes, Duration::from_secs(5));
        for (end, pace, expected) in [
            (End::Sound, Pace::Quick, (500, false, Pace::Quick)),
            (End::Sound, slow, (500, false, slow)),
            (End::Sound, Pace::Steady(20), (500, false, Pace::Steady(20))),
            (End::Sound, stalled(200), (500, false, stalled(200))),
            (End::Sound, stalled(501), (500, false, Pace::Quick)),
            (End::Early { is_forwarded: true }, Pace::Quick, (0, true, Pace::Quick)),
            (End::Early { is_forwarded: false }, Pace::Quick, (0, true, Pace::Quick)),
            (End::After(123), Pace::Quick, (123, true, Pace::Quick)),
            (End::After(40), slow, (40, true, Pace::Quick)),
            (End::Unread(123), Pace::Quick, (123, true, Pace::Quick)),
            (End::HalfOpen { bytes: 123, is_read: true }, Pace::Quick, (123, true, Pace::Quick)),
            (End::HalfOpen { bytes: 123, is_read: false }, Pace::Quick, (123, true, Pace::Quick)),
            (End::Deaf(123), Pace::Quick, (123, false, Pace::Quick)),
        ] {
            assert_eq!(got(end, pace, 500).await, expected, "{end:?} {pace:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_open_link_keeps_its_server_waiting_until_all_is_healed() {
        let (client, near) = duplex(64);
        let (far, mut server) = duplex(64);
        let (healing, healed) = watch::channel(false);
        let end = End::HalfOpen { bytes: 3, is_read: false };
        let fate = Fate { end, ..Fate::SOUND };
        let link = tokio::spawn(relay(near, far, fate, LONGEST, healed));
        server.write_all(b"12345").await.unwrap();
        let mut buffer = [0; 9];
        let read = server.read(&mut buffer);
        assert!(timeout(Duration::from_secs(50), read).await.is_err());
        healing.send_replace(true);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(link.await.unwrap(), Course { end, pace: Pace::Quick, is_found: false });
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_finds_a_half_open_link_is_seen() {
        for is_read in [false, true] {
            let (client, near) = duplex(64);
            let (far, mut server) = duplex(64);
            let (_healing, healed) = watch::channel(false);
            let end = End::HalfOpen { bytes: 3, is_read };
            let link = tokio::spawn(relay(near, far, Fate { end, ..Fate::SOUND }, LONGEST, healed));
            server.write_all(b"12345").await.unwrap();
            drop(server);
            assert!(link.await.unwrap().is_found, "{is_read}");
            drop(client);
        }
    }
}
