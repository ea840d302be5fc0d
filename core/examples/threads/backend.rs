//! The backend: counts, and says how far it has got.

use crossbeam_channel::Receiver;
use rejoin_core::{Backpressure, Rejection};

use crate::{
    Fault,
    driver::{Driver, Order},
    payload::Payload,
};

/// Carries out what the session orders, until it is closed. Returns how often
/// it was held up.
pub(crate) fn run(driver: &Driver, orders: &Receiver<Order>) -> Result<u64, Fault> {
    let mut holds = 0;
    for order in orders {
        match order {
            Order::Answer(payload) => match answer(driver, &payload, &mut holds) {
                Ok(()) | Err(Rejection::Closed(_)) => {}
                Err(rejection) => return Err(rejection.into()),
            },
            Order::Cancel(id) => return Err(format!("nobody cancelled request {id}").into()),
            Order::Fail(id, reason) => {
                return Err(format!("nobody sent request {id}: {reason:?}").into());
            }
        }
    }
    Ok(holds)
}

fn answer(driver: &Driver, payload: &Payload, holds: &mut u64) -> Result<(), Rejection> {
    let mut push = |payload| {
        match driver.push(payload)? {
            Backpressure::None => {}
            Backpressure::Hold(_) => *holds += 1,
        }
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
