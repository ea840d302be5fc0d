//! A slow link between client and program: 50 ms in each direction, 1 Mbit/s.

use crate::{program, scripts};

#[tokio::test]
#[ignore = "needs root"]
async fn slow_link_loses_no_events_in_process() {
    scripts::run("slow_link.py", &[]).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn slow_link_loses_no_events_through_stdio() {
    scripts::run("slow_link.py", &program::demo()).await;
}
