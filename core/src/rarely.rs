//! Values that most sessions never need.

use alloc::boxed::Box;

/// A value that takes no memory until it is needed.
#[derive(Debug)]
pub(crate) struct Rarely<T>(Option<Box<T>>);

impl<T: Default> Rarely<T> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Returns the value, if it was ever needed.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// Returns the value, if it was ever needed.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Returns the value, which is needed now.
    #[inline]
    pub(crate) fn need(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
