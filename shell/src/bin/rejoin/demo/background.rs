//! What goes on between the calls of a session.

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::tool::ToolError;

/// How many tasks a session has at once.
const TASKS_MAX: usize = 16;

/// Tasks that end with their session: at most [`TASKS_MAX`].
#[derive(Default)]
pub(super) struct Background {
    tasks: Mutex<JoinSet<()>>,
}

impl Background {
    pub(super) fn start(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortHandle, ToolError> {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= TASKS_MAX {
            return Err(ToolError::TooManyTasks(TASKS_MAX));
        }
        Ok(tasks.spawn(work))
    }
}
