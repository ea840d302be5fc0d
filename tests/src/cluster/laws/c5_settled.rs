//! C5: no request vanishes.

use crate::cluster::Cluster;

impl Cluster {
    /// Checks that every request has settled.
    pub(in crate::cluster) fn check_settled(&self) -> Result<(), String> {
        let open = self.requests.iter().filter(|(_, request)| request.outcome.is_none());
        let open: Vec<_> = open.take(3).collect();
        if open.is_empty() {
            return Ok(());
        }
        let readers: Vec<_> = self
            .readers
            .iter()
            .filter(|(_, reader)| open.iter().any(|(serial, _)| reader.open.contains(*serial)))
            .collect();
        Err(format!("law C5 (no request vanishes): {open:?}, read by {readers:?}"))
    }
}
