//! Reading a head from bytes.
use thiserror::Error;
/// e
#[derive(Debug, Error)]
pub enum PeekError {}
/// p
#[derive(Debug)]
pub enum Peeked {}
/// p
pub fn peek(_: &[u8]) -> Result<Peeked, PeekError> {
    todo!()
}
