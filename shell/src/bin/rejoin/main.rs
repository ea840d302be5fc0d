//! The `rejoin` program.

#[cfg_attr(not(test), expect(dead_code, reason = "the program serves nothing yet"))]
mod demo;

fn main() {}
