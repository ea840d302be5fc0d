//! The program under test, in front of the demo server on stdin and stdout.

#[path = "program.rs"]
mod plain;

/// A running server, as a process of its own with more processes behind it.
pub(crate) struct Program(plain::Program);

impl Program {
    pub(crate) fn serve(options: &[&str]) -> Self {
        // The demo server names the calls that its messages belong to. What it says of
        // none belongs to none, though a call may be in flight.
        let demo = ["--route-unrelated", "standalone", "--", env!("CARGO_BIN_EXE_rejoin"), "demo"];
        Self(plain::Program::serve(&[options, &demo].concat()))
    }
}

impl std::ops::Deref for Program {
    type Target = plain::Program;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
