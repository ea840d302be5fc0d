//! Short scripts that the reference model must follow to the last action, each
//! derived by hand from the behaviour page.

mod lifecycle;
mod limits;
mod requests;
mod script;
mod standalone;
