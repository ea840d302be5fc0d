//! The third-party load generator `wrk`, to check the results of ours.

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

/// An installed `wrk`.
#[derive(Clone)]
pub(crate) struct Wrk {
    script: PathBuf,
}

impl Wrk {
    /// Finds `wrk`, if it is installed.
    pub(crate) fn find() -> Option<Self> {
        let version = Command::new("wrk").arg("--version").stdout(Stdio::null()).status();
        version.ok()?;
        let script = env::current_exe().ok()?.with_file_name("rejoin-bench-wrk.lua");
        fs::write(&script, SCRIPT).ok()?;
        Some(Self { script })
    }

    /// Creates a round of calls, by one thread and one connection per session.
    pub(crate) fn round(
        self,
        process: Process,
        sessions: Vec<Session>,
        text: &str,
        window: Duration,
    ) -> impl FnMut() -> Result<Readings> + 'static {
        let text = text.to_owned();
        move || {
            let first = sessions.first().context("no session")?;
            let mut command = Command::new("wrk");
            command.args(["--threads", "1", "--connections", &sessions.len().to_string()]);
            // `wrk` takes whole seconds.
            command.args(["--duration", &window.as_secs().max(1).to_string(), "--script"]);
            command.arg(&self.script).arg(format!("http://{}", first.endpoint.address)).arg("--");
            command.args([first.path, &first.tool("echo"), &text]);
            command.args(sessions.iter().map(|session| session.id.as_deref().unwrap_or("-")));
            let before = process.cpu_seconds()?;
            let output = command.output()?;
            let cpu = process.cpu_seconds()? - before;
            parse(&String::from_utf8_lossy(&output.stdout), cpu)
        }
    }
}

/// Parses the output of the script.
fn parse(output: &str, cpu: f64) -> Result<Readings> {
    let line = output.lines().find_map(|line| line.strip_prefix("RESULT "));
    let numbers = line
        .with_context(|| format!("unexpected output of wrk: {output}"))?
        .split(' ')
        .map(str::parse);
    let numbers = numbers.collect::<Result<Vec<f64>, _>>()?;
    let &[wrong, count, microseconds, median, tail] = numbers.as_slice() else {
        anyhow::bail!("unexpected output of wrk: {output}");
    };
    ensure!(wrong == 0.0, "{wrong} of {count} responses were wrong");
    Ok(vec![
        (RATE, count / microseconds * 1e6),
        (MEDIAN, median),
        (TAIL, tail),
        (CPU_TIME, cpu / count * 1e4),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_is_parsed_and_wrong_responses_are_an_error() {
        let readings = parse("noise\nRESULT 0 20000 2000000 120.0 400.0\n", 0.5).unwrap();
        let values: Vec<f64> = readings.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [10_000.0, 120.0, 400.0, 0.25]);
        assert!(parse("RESULT 1 20000 2000000 120.0 400.0", 0.5).is_err());
        assert!(parse("unable to connect", 0.5).is_err());
    }
}
