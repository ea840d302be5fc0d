//! Background tasks of a session.

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::tool::ToolError;

/// Maximum number of concurrent tasks per session.
const TASKS_MAX: usize = 16;

/// A bounded set of tasks, which are aborted when it is dropped.
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
