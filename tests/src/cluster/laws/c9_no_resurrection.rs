//! C9: a session that was deleted exists nowhere.

use crate::cluster::Cluster;
use crate::cluster::agenda::Status;
use crate::cluster::names::ExchangeNo;

impl Cluster {
    /// Checks the status that a client gets.
    pub(in crate::cluster) fn check_not_resurrected(
        &mut self,
        no: ExchangeNo,
        status: Status,
    ) -> Result<(), String> {
        let Some(exchange) = self.exchanges.get(&no) else { return Ok(()) };
        let Some(session) = exchange.session else { return Ok(()) };
        let Some(deleted_at) = self.laws.fates.of(session).deleted_at else { return Ok(()) };
        let exists = match status {
            Status::Stream | Status::Accepted | Status::Deleted => true,
            Status::NotFound
            | Status::BadGateway
            | Status::Unavailable
            | Status::Expired(_)
            | Status::Unknown(_)
            | Status::Rejected => false,
        };
        let is_later = exchange.sent_at > deleted_at;
        if exists && is_later && !self.laws.has_forgotten_since(deleted_at) {
            return Err(format!("law C9 (no resurrection): session {session} answers {status:?}"));
        }
        if is_later {
            self.coverage.hit("deleted sessions: asked for");
        }
        Ok(())
    }
}
