//! The standalone stream.

use alloc::vec::Vec;

use super::{
    Action, Client, ExchangeId, Phase,
    stream::{Role, Stream},
};

impl<C: Clone, S> Client<C, S> {
    /// Opens the standalone stream of the session.
    pub(super) fn open_standalone(&mut self, out: &mut Vec<Action<C, S>>) {
        if self.phase != Phase::Live || self.standalone.is_some() {
            return;
        }
        let number = self.next_number();
        let generation = self.session.generation;
        // `resume` gives it its exchange.
        let stream = Stream::new(Role::Standalone, None, generation, ExchangeId(0), self.now);
        self.streams.insert(number, stream);
        self.standalone = Some(number);
        self.resume(number, out);
    }
}
