//! Heard: what a client says, and what its session adds, comes to the backend, once and in
//! order.

use rejoin_core::CloseReason;

use super::history::{History, Mail};
use crate::backend::{Heard, Hearing};
use crate::visit::Told;

/// Checks what a backend heard, for which so many messages of the session itself may wait.
pub(super) fn check(
    history: &History,
    reason: CloseReason,
    hearing: &Hearing,
    said_max: usize,
) -> Result<(), String> {
    if let Some(garbled) = &hearing.garbled {
        return Err(format!("the backend heard what is no message: {garbled}"));
    }
    for (nth, heard) in hearing.heard.iter().enumerate() {
        let expected = history.mail.get(nth);
        if !expected.is_some_and(|mail| is_same(mail, heard)) {
            return Err(format!("the backend heard {heard:?}, and should hear {expected:?}"));
        }
    }
    let (known, missing) = history.mail.split_at(hearing.heard.len());
    let is_gone = reason == CloseReason::BackendGone;
    match missing.first() {
        // Whoever is dead hears no more.
        Some(_) | None if hearing.is_dead => Ok(()),
        // Who asks so much that does not stand on a stream, and does not listen between, is
        // given up; only so many failures wait.
        Some(missing) if is_gone && is_own(missing) && is_flooded(known, said_max) => Ok(()),
        Some(_) | None if is_gone => {
            Err("the session takes its backend for dead, which it is not".to_owned())
        }
        Some(missing) => Err(format!("the backend should hear {missing:?}, and never did")),
        None => Ok(()),
    }
}

/// Checks that whatever a client was told to be accepted was heard once, anything else no more
/// than once, and what was told after another was accepted after it.
pub(super) fn check_told(told: &[Told], hearing: &Hearing, is_cut: bool) -> Result<(), String> {
    let mut counts = vec![0; told.len()];
    let mut latest = 0;
    for nth in hearing.heard.iter().filter_map(|heard| heard.told) {
        let (Some(count), Some(told)) = (counts.get_mut(nth), told.get(nth)) else {
            return Err(format!("the backend heard what nobody told, as number {nth}"));
        };
        *count += 1;
        if *count > 1 {
            return Err(format!("the backend heard twice what was told once, as number {nth}"));
        }
        if told.accepted.is_some_and(|accepted| accepted < latest) {
            return Err(format!("the backend heard number {nth} after what was told later"));
        }
        latest = latest.max(told.sent);
    }
    let is_lost = |(told, count): (&Told, &i32)| {
        told.is_plain && told.accepted.is_some() && *count == 0 && !is_cut
    };
    match told.iter().zip(&counts).position(is_lost) {
        Some(nth) => Err(format!("number {nth} was accepted, and the backend never heard it")),
        None => Ok(()),
    }
}

/// Returns whether a message comes from the session itself, so that its size is unknown.
fn is_own(mail: &Mail) -> bool {
    mail.bytes.is_none()
}

fn is_flooded(known: &[Mail], said_max: usize) -> bool {
    known.iter().filter(|mail| is_own(mail)).count() >= said_max
}

fn is_same(mail: &Mail, heard: &Heard) -> bool {
    mail.head == heard.head && mail.bytes.is_none_or(|bytes| bytes == heard.bytes)
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Head, Notification};

    use super::*;

    fn cancels(id: i64, bytes: usize) -> (Mail, Heard) {
        let head = Head::Notification(Notification::Cancelled { request: id.into() });
        (Mail { head: head.clone(), bytes: Some(bytes) }, Heard { head, bytes, told: None })
    }

    /// Returns what is wrong where a backend should hear three messages, and hears some.
    fn wrong(
        reason: CloseReason,
        change: impl FnOnce(&mut Vec<Heard>, &mut Hearing),
    ) -> Option<String> {
        let (mail, mut heard) =
            [cancels(1, 10), cancels(2, 10), cancels(3, 10)].into_iter().unzip();
        let mut history = History::default();
        history.mail = mail;
        let mut hearing = Hearing::default();
        change(&mut heard, &mut hearing);
        hearing.heard = heard;
        check(&history, reason, &hearing, 1).err()
    }

    #[test]
    fn a_message_that_is_lost_doubled_changed_or_late_is_seen() {
        let deleted = |change: fn(&mut Vec<Heard>)| {
            wrong(CloseReason::Deleted, |heard, _| change(heard)).unwrap_or_default()
        };
        assert_eq!(deleted(|_| {}), "");
        assert!(deleted(|heard| drop(heard.pop())).contains("and never did"));
        assert!(deleted(|heard| drop(heard.remove(0))).contains("and should hear"));
        assert!(deleted(|heard| heard.push(heard[2].clone())).contains("and should hear None"));
        assert!(deleted(|heard| heard.swap(0, 1)).contains("and should hear"));
        assert!(deleted(|heard| heard[1].bytes += 1).contains("and should hear"));
    }

    #[test]
    fn only_a_death_excuses_what_is_not_heard() {
        let gone = |is_dead| {
            wrong(CloseReason::BackendGone, |heard, hearing| {
                heard.pop();
                hearing.is_dead = is_dead;
            })
        };
        assert_eq!(gone(true), None);
        assert!(gone(false).is_some_and(|wrong| wrong.contains("for dead")));
        let garbled = wrong(CloseReason::BackendGone, |_, hearing| {
            hearing.is_dead = true;
            hearing.garbled = Some("it breaks off".to_owned());
        });
        assert!(garbled.is_some_and(|wrong| wrong.contains("it breaks off")));
    }

    #[test]
    fn what_is_told_is_heard_once_and_in_order() {
        let told = |sent, accepted| Told { sent, accepted, is_plain: true };
        // The second is told when the first was accepted; nobody knows of the third.
        let told = [told(0, Some(1)), told(1, Some(3)), told(2, None)];
        let wrong = |heard: &[usize], is_cut| {
            let heard = heard.iter().map(|nth| Heard { told: Some(*nth), ..cancels(1, 9).1 });
            let hearing = Hearing { heard: heard.collect(), ..Hearing::default() };
            check_told(&told, &hearing, is_cut).err().unwrap_or_default()
        };
        for right in [&[0, 1][..], &[0, 1, 2], &[0, 2, 1]] {
            assert_eq!(wrong(right, false), "");
        }
        assert!(wrong(&[0], false).contains("never heard it"));
        assert_eq!(wrong(&[0], true), "");
        assert!(wrong(&[0, 1, 1], true).contains("twice"));
        assert!(wrong(&[0, 2, 2, 1], true).contains("twice"));
        assert!(wrong(&[0, 1, 9], true).contains("nobody told"));
        assert!(wrong(&[2, 0, 1], true).contains("after what was told later"));
    }

    #[test]
    fn only_a_flood_of_failures_drowns_a_backend() {
        let fails = |id: i64| Mail { head: Head::Error { id: Some(id.into()) }, bytes: None };
        let mut history = History::default();
        history.mail = vec![fails(1), fails(2), fails(3)];
        let hear = |mail: &Mail| Heard { head: mail.head.clone(), bytes: 60, told: None };
        let heard = history.mail.iter().take(2).map(hear).collect();
        let hearing = Hearing { heard, ..Hearing::default() };
        let gone = |said_max| check(&history, CloseReason::BackendGone, &hearing, said_max);
        assert_eq!(gone(2), Ok(()));
        assert!(gone(3).is_err());
        assert!(check(&history, CloseReason::Deleted, &hearing, 2).is_err());
    }
}
