//! The load generator `wrk`, which is not ours: it checks what ours says.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Session,
    echo::{CPU_TIME, MEDIAN, RATE, TAIL},
};
use crate::{measure::Readings, process::Process};

const SCRIPT: &str = include_str!("wrk.lua");

/// A `wrk` that is installed.
#[derive(Clone)]
pub(crate) struct Wrk {
    script: PathBuf,
}

impl Wrk {
    /// Finds it, if it is installed.
    pub(crate) fn find() -> Option<Self> {
        let version = Command::new("wrk").arg("--version").stdout(Stdio::null()).status();
        version.ok()?;
        let script = env::current_exe().ok()?.with_file_name("rejoin-bench-wrk.lua");
        fs::write(&script, SCRIPT).ok()?;
        Some(Self { script })
    }

    /// Makes rounds of calls in some sessions, by one thread and a connection for each.
    pub(crate) fn round(
        self,
        process: Process,
        sessions: Vec<Session>,
        text: &str,
        window: Duration,
    ) -> impl FnMut() -> Result<Readings> + 'static {
        let text = text.to_owned();
        move || {
            let first = sessions.first().context("there is no session")?;
            let mut command = Command::new("wrk");
            command.args(["--threads", "1", "--connections", &sessions.len().to_string()]);
            // It counts in seconds.
            command.args(["--duration", &window.as_secs().max(1).to_string(), "--script"]);
            command.arg(&self.script).arg(format!("http://{}", first.address)).arg("--");
            command.args([first.path, &first.tool("echo"), &text]);
            command.args(sessions.iter().map(|session| session.id.as_deref().unwrap_or("-")));
            let before = process.cpu_seconds()?;
            let output = command.output()?;
            let processor = process.cpu_seconds()? - before;
            read(&String::from_utf8_lossy(&output.stdout), processor)
        }
    }
}

/// Reads what the script has printed.
fn read(said: &str, processor: f64) -> Result<Readings> {
    let line = said.lines().find_map(|line| line.strip_prefix("RESULT "));
    let numbers = line.with_context(|| format!("wrk says {said}"))?.split(' ').map(str::parse);
    let numbers = numbers.collect::<Result<Vec<f64>, _>>()?;
    let &[wrong, count, microseconds, median, tail] = numbers.as_slice() else {
        anyhow::bail!("wrk says {said}");
    };
    ensure!(wrong == 0.0, "{wrong} of {count} answers were wrong");
    Ok(vec![
        (RATE, count / microseconds * 1e6),
        (MEDIAN, median),
        (TAIL, tail),
        (CPU_TIME, processor / count * 1e4),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_and_a_wrong_answer_is_an_error() {
        let readings = read("noise\nRESULT 0 20000 2000000 120.0 400.0\n", 0.5).unwrap();
        let values: Vec<f64> = readings.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [10_000.0, 120.0, 400.0, 0.25]);
        assert!(read("RESULT 1 20000 2000000 120.0 400.0", 0.5).is_err());
        assert!(read("unable to connect", 0.5).is_err());
    }
}
