//! A slow link between client and program: 50 ms in each direction, 1 Mbit/s.

use rejoin_test_support::test_server_path;

use crate::scripts;

#[tokio::test]
#[ignore = "needs root"]
async fn slow_link_loses_no_events_in_process() {
    scripts::run("slow_link.py", &[]).await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn slow_link_loses_no_events_through_stdio() {
    scripts::run("slow_link.py", &[test_server_path().into()]).await;
}
