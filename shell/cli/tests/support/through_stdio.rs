//! The program under test, in front of the demo server on stdin and stdout.

#[path = "program.rs"]
mod plain;

/// A running program, with a child process per session.
pub(crate) struct Program(plain::Program);

impl Program {
    pub(crate) fn serve(options: &[&str]) -> Self {
        // The demo server names the request of each related message. Its other messages are
        // unrelated, even while a request is pending.
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
