//! Tests of the contract.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Wake, Waker},
};

use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::*;

fn supervisor() -> Arc<Supervisor> {
    Arc::new(Supervisor::new(None, false).unwrap())
}

/// Waits until a process has been reaped.
async fn reaped(supervisor: &Supervisor, id: i32) {
    let reaped = async {
        while supervisor.has_spawned(id) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), reaped).await.unwrap();
}

fn sleeping(supervisor: &Arc<Supervisor>) -> Process {
    let config = StdioConfig { args: vec!["1000".into()], ..StdioConfig::new("sleep") };
    Process::start(&config, &SessionSetup::default(), supervisor, SessionPermit::none()).unwrap().0
}

/// Counts the wake-ups of a task.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn exit_of_a_process_wakes_only_its_own_task() {
    let supervisor = supervisor();
    let (mut other, mut ending) = (sleeping(&supervisor), sleeping(&supervisor));
    let count = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut other = pin!(other.exited());
    assert!(other.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut signals = signal(SignalKind::child()).unwrap();
    ending.signal(Signal::KILL).await.unwrap();
    ending.exited().await.unwrap();
    signals.recv().await;
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_is_left_of_a_process_whose_parent_has_exited() {
    // It leaves the group, and has neither the mark nor, after SIGTERM, its parent.
    let daemon = "env -i PATH=/usr/bin:/bin setsid /bin/sh -c \
                  'trap \"\" TERM; echo; while :; do sleep 1; done'; exit";
    let args = vec!["-c".into(), daemon.into()];
    let config = StdioConfig { args, ..StdioConfig::new("/bin/sh") };
    let supervisor = supervisor();
    let (mut process, pipes) =
        Process::start(&config, &SessionSetup::default(), &supervisor, SessionPermit::none())
            .unwrap();
    let (_stdin, mut stdout, _stderr) = pipes.register().unwrap();
    stdout.read_u8().await.unwrap();
    process.signal(Signal::TERM).await.unwrap();
    process.exited().await.unwrap();
    let found = process.found.clone();
    assert!(found.len() > 1, "{found:?}");
    process.end(SessionId::random()).await;
    let table = supervisor.table().await.unwrap();
    let is_left = |process: &ProcessEntry| found.iter().any(|found| found.is_same(process));
    assert_eq!(table.trees(is_left), []);
}

#[tokio::test(start_paused = true)]
async fn end_is_bounded_and_goes_on_although_processes_cannot_be_listed() {
    let supervisor = supervisor();
    let process = sleeping(&supervisor);
    let id = process.id();
    let blocked = supervisor.block_listing().await;
    timeout(Duration::from_secs(5), process.end(SessionId::random())).await.unwrap();
    assert!(supervisor.has_spawned(id), "it is reaped last");
    drop(blocked);
    reaped(&supervisor, id).await;
}

#[tokio::test]
async fn dropped_process_is_killed_and_reaped() {
    let supervisor = supervisor();
    let process = sleeping(&supervisor);
    let id = process.id();
    assert!(supervisor.has_spawned(id));
    drop(process);
    reaped(&supervisor, id).await;
    let table = supervisor.table().await.unwrap();
    let own = i32::try_from(process::id()).unwrap();
    assert!(!table.iter().any(|entry| entry.id == id && entry.parent == own));
}
