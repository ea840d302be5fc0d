//! A slow line between client and program: 50 ms each way, 1 Mbit/s.

use crate::{program, scripts};

#[tokio::test]
#[ignore = "needs root"]
async fn a_slow_line_loses_nothing_in_process() {
    scripts::run("line.py", &[]).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_slow_line_loses_nothing_through_stdio() {
    scripts::run("line.py", &program::demo()).await;
}
