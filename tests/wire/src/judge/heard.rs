//! Heard: what a client says, and what its session adds, comes to the backend, once and in
//! order.

use rejoin_core::CloseReason;

use super::history::{History, Mail};
use crate::backend::Heard;

/// Checks what a backend heard.
pub(super) fn check(history: &History, reason: CloseReason, heard: &[Heard]) -> Result<(), String> {
    let mut mail = history.mail.iter();
    for (nth, heard) in heard.iter().enumerate() {
        let Some(expected) = mail.next().filter(|mail| is_same(mail, heard)) else {
            let expected = history.mail.get(nth);
            return Err(format!("the backend heard {heard:?}, and should hear {expected:?}"));
        };
        debug_assert!(is_same(expected, heard));
    }
    match mail.next() {
        // Whoever is gone hears no more.
        Some(missing) if reason != CloseReason::BackendGone => {
            Err(format!("the backend should hear {missing:?}, and never did"))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_same(mail: &Mail, heard: &Heard) -> bool {
    mail.head == heard.head && mail.bytes.is_none_or(|bytes| bytes == heard.bytes)
}
