//! Sessions that the machine must not use any more, and their deletion.

use std::collections::BTreeSet;

use super::link::{HttpRequest, Link};

/// The sessions whose ids the machine got, and what has become of them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    opened: BTreeSet<usize>,
    /// Those whose standalone stream was open.
    standalone: BTreeSet<usize>,
    /// Those that the machine has deleted.
    deleted: BTreeSet<usize>,
    /// Those that their server does not know, as the machine was told.
    unknown: BTreeSet<usize>,
}

impl Sessions {
    /// Notes the status of the response to a request of the machine.
    pub(super) fn on_response(&mut self, link: &Link, status: u16) {
        match link.request {
            HttpRequest::Post { session: Some(session), .. } if status == 404 => {
                self.unknown.insert(session);
            }
            HttpRequest::Get { session: Some(session), .. } => {
                let was_open = !link.is_standalone() || self.standalone.contains(&session);
                if status == 404 && was_open {
                    self.unknown.insert(session);
                } else if status == 200 && link.is_standalone() {
                    self.standalone.insert(session);
                }
            }
            HttpRequest::Post { .. } | HttpRequest::Get { .. } | HttpRequest::Delete { .. } => {}
        }
    }

    /// Notes that the machine gets the id of a session.
    pub(super) fn on_opened(&mut self, session: Option<usize>) {
        self.opened.extend(session);
    }

    /// Checks that the machine may send a POST or GET in a session.
    pub(super) fn check_use(&self, session: Option<usize>) -> Result<(), String> {
        let Some(session) = session else { return Ok(()) };
        if self.deleted.contains(&session) {
            return Err(format!("session {session} is used after its DELETE"));
        }
        if self.unknown.contains(&session) {
            return Err(format!("session {session} is used after a 404"));
        }
        Ok(())
    }

    /// Notes that the machine deletes a session.
    ///
    /// # Errors
    ///
    /// It has none, or has deleted it, or was told that its server does not know it.
    pub(super) fn delete(&mut self, session: Option<usize>) -> Result<(), String> {
        let session = session.ok_or("a DELETE without a session")?;
        if self.unknown.contains(&session) {
            return Err(format!("session {session} is deleted after a 404"));
        }
        if !self.deleted.insert(session) {
            return Err(format!("session {session} is deleted twice"));
        }
        Ok(())
    }

    /// Checks that no session is left.
    pub(super) fn check_end(&self) -> Result<(), String> {
        let mut left = self
            .opened
            .iter()
            .filter(|session| !self.deleted.contains(session) && !self.unknown.contains(session));
        match left.next() {
            Some(left) => Err(format!("session {left} was given up, but not deleted")),
            None => Ok(()),
        }
    }
}
