//! Benchmark of a session: time, instructions and allocations of each kind of work.
//!
//! `cargo bench -p rejoin-core` prints the table. Instructions are counted by valgrind, if
//! it is installed, which runs this program again.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark reads the clock, rounds, prints, and panics on errors"
)]

mod work;

use std::{
    env,
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use allocation_counter::measure;

use crate::work::{Step, Work};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    match arguments.as_slice() {
        [_, run, name, count] if run == "run" => {
            let mut step = Work::named(name).expect("the name of a kind of work").prepare();
            repeat(&mut step, count.parse().expect("a count"));
        }
        _ => print_table(),
    }
}

fn print_table() {
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>13} {:>12}",
        "work", "min ns", "median ns", "max ns", "instructions", "allocations"
    );
    let mut scaling = Vec::new();
    for work in Work::ALL {
        let times = time(work);
        let instructions = instructions(work.name());
        let shown = instructions.map_or("no valgrind".to_owned(), |count| format!("{count:.0}"));
        let [min, median, max] = times;
        println!(
            "{:<44} {min:>9.1} {median:>9.1} {max:>9.1} {shown:>13} {:>12.2}",
            work.name(),
            allocations(work)
        );
        if let Work::AmongStreams(streams) = work {
            scaling.push((streams, median, instructions));
        }
    }
    print_scaling(&scaling);
    println!(
        "an idle initialized session: {} bytes on the heap and {} in place",
        idle_session_heap_bytes(),
        work::SESSION_SIZE,
    );
}

/// Measures batches of steps. Returns the nanoseconds per step: minimum, median, maximum.
fn time(work: Work) -> [f64; 3] {
    const BATCHES: usize = 41;
    let mut step = work.prepare();
    let mut batch = 16;
    let per_batch = loop {
        let start = Instant::now();
        repeat(&mut step, batch);
        if start.elapsed() > Duration::from_millis(10) {
            break batch;
        }
        batch *= 2;
    };
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            repeat(&mut step, per_batch);
            start.elapsed().as_secs_f64() * 1e9 / per_batch as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let last = times.len() - 1;
    [0, last / 2, last].map(|at| times.get(at).copied().unwrap_or_default())
}

/// Counts allocations per step.
fn allocations(work: Work) -> f64 {
    const STEPS: usize = 10_000;
    let mut step = work.prepare();
    measure(|| repeat(&mut step, STEPS)).count_total as f64 / STEPS as f64
}

/// Counts instructions per step, as the difference of two runs.
fn instructions(name: &str) -> Option<f64> {
    const STEPS: u64 = 5_000;
    let base = run_valgrind(name, 0)?;
    let whole = run_valgrind(name, STEPS)?;
    Some(whole.saturating_sub(base) as f64 / STEPS as f64)
}

fn run_valgrind(name: &str, count: u64) -> Option<u64> {
    let program = env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", name, &count.to_string()])
        .output()
        .ok()?;
    let report = String::from_utf8(output.stderr).ok()?;
    let line = report.lines().find(|line| line.contains("Collected"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn print_scaling(rows: &[(usize, f64, Option<f64>)]) {
    let [(_, base_time, base_count), .., (streams, time, count)] = rows else {
        return;
    };
    print!("from 1 to {streams} other streams: time x{:.2}", time / base_time);
    if let (Some(base), Some(count)) = (base_count, count) {
        print!(", instructions x{:.2}", count / base);
    }
    println!();
}

fn idle_session_heap_bytes() -> i64 {
    // Sessions share their configuration.
    let config = work::default_config();
    let mut session = None;
    let heap = measure(|| session = Some(work::idle_session(config))).bytes_current;
    black_box(session);
    heap
}

fn repeat(step: &mut Step, count: usize) {
    for _ in 0..count {
        step();
    }
}
