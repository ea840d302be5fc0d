//! The backend: counts, and reports its progress.

use crossbeam_channel::Receiver;
use rejoin_core::Rejection;

use crate::{
    BoxError,
    driver::{Command, Driver},
    payload::Payload,
};

/// Handles commands until the session is closed. Returns how often it was held.
pub(crate) fn run(driver: &Driver, commands: &Receiver<Command>) -> Result<u64, BoxError> {
    let mut holds = 0;
    for command in commands {
        match command {
            Command::Handle(payload) => match handle(driver, &payload, &mut holds) {
                Ok(()) | Err(Rejection::Closed(_)) => {}
                Err(rejection) => return Err(rejection.into()),
            },
            Command::Cancel(id) => {
                return Err(format!("request {id} was cancelled unexpectedly").into());
            }
            Command::Fail(id, reason) => {
                return Err(format!("unknown server request {id} failed: {reason:?}").into());
            }
        }
    }
    Ok(holds)
}

fn handle(driver: &Driver, payload: &Payload, holds: &mut u64) -> Result<(), Rejection> {
    let mut push = |payload| {
        *holds += u64::from(driver.push(payload)?);
        Ok(())
    };
    match *payload {
        Payload::Initialize { id } => push(Payload::Initialized { id }),
        Payload::Count { id, to } => {
            for done in 1..=to {
                push(Payload::Progress { token: id, done })?;
            }
            push(Payload::Counted { id, to })
        }
        Payload::Initialized { .. } | Payload::Progress { .. } | Payload::Counted { .. } => Ok(()),
    }
}
