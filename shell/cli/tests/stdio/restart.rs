//! Restarts of the program on its port while clients call, without a load balancer.

use std::time::Duration;

use rejoin_test_support::{
    callers::{CallRecord, Callers},
    free_port,
};

const CLIENTS: usize = 64;

#[tokio::test]
async fn restarts_under_load_lose_and_double_no_call() {
    let record = CallRecord::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let start = || record.serve(&["--listen", &listen, "--drain-timeout", "60s"]);
    let mut program = start();
    let mut callers = Callers::start(&program.address, CLIENTS, |_| "0.02");
    for _ in 0..3 {
        let next = callers.answered() + 2 * CLIENTS;
        callers.wait_until(|seen| seen.answered() >= next).await;
        program.signal("TERM");
        assert!(program.exited(Duration::from_secs(60)).await.unwrap().success());
        program = start();
    }
    let next = callers.answered() + 2 * CLIENTS;
    callers.wait_until(|seen| seen.answered() >= next).await;
    record.check(callers.stop().await);
}
