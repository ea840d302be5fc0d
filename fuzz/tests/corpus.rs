//! Replay of the corpora.

use std::{fs, io, path::Path};

#[test]
fn event_id() -> io::Result<()> {
    replay("event_id", rejoin_fuzz::event_id)
}

#[test]
fn history() -> io::Result<()> {
    replay("history", rejoin_fuzz::history)
}

#[test]
fn head() -> io::Result<()> {
    replay("head", rejoin_fuzz::head)
}

#[test]
fn snapshot() -> io::Result<()> {
    let every = |data: &[u8]| {
        assert!(rejoin_fuzz::snapshot(data), "invalid snapshot: see core/tests/snapshot/seeds.rs");
    };
    replay("snapshot", every)
}

#[test]
fn frames() -> io::Result<()> {
    let every = |data: &[u8]| {
        assert!(
            rejoin::fuzzing::frames(data),
            "invalid frames: see shell/lib/src/cluster/link/fuzz.rs"
        );
    };
    replay("frames", every)
}

#[test]
fn log() -> io::Result<()> {
    let every = |data: &[u8]| {
        assert!(
            rejoin::fuzzing::log(data),
            "invalid log: see shell/lib/tests/sessions/stored/seeds.rs"
        );
    };
    replay("log", every)
}

#[expect(clippy::print_stdout, reason = "the last printed file is the one that fails")]
fn replay(target: &str, run: fn(&[u8])) -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        println!("{}", path.display());
        run(&fs::read(&path)?);
        files += 1;
    }
    assert_ne!(files, 0, "the corpus of {target} is empty");
    Ok(())
}
