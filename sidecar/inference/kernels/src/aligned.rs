//! Memory that starts at a cache line, so that a vector load never crosses two.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::Memory;

/// The alignment in bytes: a cache line, and the widest vector.
pub(crate) const ALIGNMENT: usize = 64;

/// From so many bytes on a buffer has memory of the system to itself, zero as it comes: an allocator would write all of
/// the zeros first, on one thread.
const LARGE_BYTES: usize = 256 << 10;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
    impl Sealed for u16 {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}

/// Numbers of which every pattern of bits is a value, zero among them.
pub trait Number: sealed::Sealed + Copy + Send + Sync + 'static {}
impl<T: sealed::Sealed + Copy + Send + Sync + 'static> Number for T {}

/// A buffer of numbers that starts at a multiple of 64 bytes. Its length never changes.
pub struct Aligned<T: Number> {
    start: NonNull<T>,
    length: usize,
    /// The arena that the memory is part of; without one it is the buffer's own.
    arena: Option<Arc<Memory>>,
    /// Whether the arena counts it among those that may be written.
    is_open: bool,
}

/// A buffer of numbers that are only read any more.
pub struct Numbers<T: Number>(Aligned<T>);

// SAFETY: the buffer owns its memory as a boxed slice does, and numbers may go to any thread.
unsafe impl<T: Number> Send for Aligned<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Number> Sync for Aligned<T> {}

impl<T: Number> Aligned<T> {
    /// A buffer of `length` zeros, of which the system gives no page before it is written where there are many.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        if length == 0 {
            return Self { start: NonNull::dangling(), length, arena: None, is_open: false };
        }
        let layout = Self::layout(length);
        if layout.size() >= LARGE_BYTES
            && let Ok(memory) = Memory::new(layout.size())
        {
            let start = memory.start().cast();
            // SAFETY: the memory starts at a page, is as long, and nobody else has it; its zeros are numbers.
            return unsafe { Self::within(start, length, Arc::new(memory)) };
        }
        // SAFETY: the layout is not empty, because neither the length nor the size of a number is zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast::<T>()) else { handle_alloc_error(layout) };
        Self { start, length, arena: None, is_open: false }
    }

    /// A buffer with these numbers.
    #[must_use]
    pub fn copied(numbers: &[T]) -> Self {
        let mut buffer = Self::zeroed(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }

    /// A buffer in an arena's memory, which counts it as open.
    ///
    /// # Safety
    /// `length` numbers lie at `start`, aligned, in that memory; nobody else has them.
    pub(crate) unsafe fn within(start: *mut T, length: usize, arena: Arc<Memory>) -> Self {
        let start = NonNull::new(start).unwrap_or(NonNull::dangling());
        arena.open_one();
        Self { start, length, arena: Some(arena), is_open: true }
    }

    /// The numbers, never to be written again.
    #[must_use]
    pub fn freeze(mut self) -> Numbers<T> {
        self.close();
        Numbers(self)
    }

    fn close(&mut self) {
        if let Some(arena) = self.arena.as_ref().filter(|_| self.is_open) {
            arena.close_one();
        }
        self.is_open = false;
    }

    fn layout(length: usize) -> Layout {
        match Layout::array::<T>(length).and_then(|layout| layout.align_to(ALIGNMENT)) {
            Ok(layout) => layout,
            // The same panic as `Vec` has for a length that no address space holds.
            Err(_) => panic!("a buffer of {length} numbers is larger than memory can be"),
        }
    }
}

impl<T: Number> Drop for Aligned<T> {
    fn drop(&mut self) {
        self.close();
        if self.length > 0 && self.arena.is_none() {
            // SAFETY: the memory came from the allocator with this very layout, and nothing uses it any more.
            unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.length)) }
        }
    }
}

impl<T: Number> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `length` numbers lie there, all of them initialised; a dangling start has length 0.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T: Number> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the exclusive borrow of the buffer is one of its numbers.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T: Number> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::copied(self)
    }
}

impl<T: Number> Deref for Numbers<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Number> Clone for Numbers<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Number> Default for Numbers<T> {
    fn default() -> Self {
        Aligned::zeroed(0).freeze()
    }
}

impl<T: Number> From<&[T]> for Numbers<T> {
    fn from(numbers: &[T]) -> Self {
        Aligned::copied(numbers).freeze()
    }
}

impl<T: Number> From<Vec<T>> for Numbers<T> {
    fn from(numbers: Vec<T>) -> Self {
        Self::from(numbers.as_slice())
    }
}

impl<T: Number + fmt::Debug> fmt::Debug for Numbers<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_aligned_and_zero() {
        for length in [0, 1, 15, 16, 1000, LARGE_BYTES / 4, LARGE_BYTES] {
            let buffer = Aligned::<f32>::zeroed(length);
            assert_eq!(buffer.len(), length);
            assert!(length == 0 || (buffer.as_ptr() as usize).is_multiple_of(ALIGNMENT));
            assert!(buffer.iter().all(|number| *number == 0.0));
        }
        assert_eq!(&Aligned::copied(&[1u8, 2, 3])[..], [1, 2, 3]);
        assert_eq!(&Numbers::from(vec![1u8, 2, 3]).clone()[..], [1, 2, 3]);
    }
}
