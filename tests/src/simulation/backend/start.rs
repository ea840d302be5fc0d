//! The start of a task: its plan.

use std::collections::VecDeque;

use rejoin_core::{Method, ProgressToken, RequestId};

use super::Task;
use crate::kit::{Fault, plan_initialize, plan_response, plan_unrelated};
use crate::simulation::Simulation;
use crate::simulation::event_queue::{ServerNo, SimEvent};

impl Simulation {
    /// Starts a task for a request, or for unrelated messages if `request` is `None`.
    pub(in crate::simulation) fn start_task(
        &mut self,
        no: ServerNo,
        request: Option<RequestId>,
        method: Method,
        token: Option<ProgressToken>,
    ) {
        let faults = self.faults.clone();
        let Some(backend) = self.servers.get_mut(no).map(|server| &mut server.backend) else {
            return;
        };
        let (rng, coverage) = (&mut backend.rng, &mut self.coverage);
        let mut actions = VecDeque::new();
        match (&request, method) {
            (Some(_), Method::Initialize { .. }) => {
                plan_initialize(&mut actions, rng, &faults, coverage);
            }
            (Some(_), _) => plan_response(&mut actions, rng, &faults, coverage),
            (None, _) => plan_unrelated(&mut actions, rng, &faults, coverage),
        }
        let ignores_backpressure = rng.chance(faults.rate(Fault::IgnoresBackpressure));
        let (held, rejected) = (None, None);
        let task = Task { request, token, actions, held, rejected, ignores_backpressure };
        let first = task.actions.front().map(|(delay, _)| *delay);
        let task_no = backend.next_task;
        backend.next_task += 1;
        if let Some(delay) = first {
            backend.tasks.insert(task_no, task);
            self.schedule_after(delay, SimEvent::BackendTask(no, task_no));
        }
    }
}
