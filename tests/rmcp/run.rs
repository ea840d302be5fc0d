//! The execution of a file of tests.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use crate::{package::Package, results::Results};

/// Longer than any file takes on a busy machine: the longest sleeps for five seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the tests of a file, with arguments for the test harness. Panics if they do not end.
pub(crate) async fn run(program: &Path, package: &Package, arguments: &[&str]) -> Results {
    let mut command = Command::new(program);
    command.args(arguments);
    command.current_dir(&package.directory).env("RUST_BACKTRACE", "0").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let (mut stdout, mut stderr) = (running.stdout.take().unwrap(), running.stderr.take().unwrap());
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let ended = timeout(LIMIT, async {
        let (output, errors) =
            tokio::join!(stdout.read_to_end(&mut output), stderr.read_to_end(&mut errors));
        output.and(errors).unwrap();
        running.wait().await.unwrap()
    });
    let ended = ended.await;
    let [output, errors] = [output, errors].map(|it| String::from_utf8_lossy(&it).into_owned());
    let program = program.display();
    assert!(ended.is_ok(), "{program} did not exit within {LIMIT:?}\n{output}{errors}");
    Results::parse(&output, &errors)
}
