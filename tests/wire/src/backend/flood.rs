//! Floods: a backend that has more to say than there is room for, and waits when it is held up.

use std::time::Duration;

use rejoin_tests::world::Utterance;
use tokio::time::sleep;

use super::speaker::{Mouth, Task, Voice};
use crate::knobs::Flood;

/// After how long every client listens.
const LISTENING: Duration = Duration::from_secs(1);

impl<M: Mouth> Voice<M> {
    /// Floods a client before it has its answer.
    pub(super) async fn flood(self, task: Task, flood: Flood) {
        sleep(LISTENING).await;
        let related = task.id.clone().filter(|_| flood.is_related);
        for _ in 0..flood.messages {
            if !self.mouth.say(self.note(flood.bytes), related.clone()).await {
                return;
            }
        }
        self.utter(&task, Utterance::Answer).await;
    }
}
