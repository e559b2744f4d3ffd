//! Memory that starts at a cache line, so that a vector load never crosses two.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// The alignment in bytes: a cache line, and the widest vector.
pub(crate) const ALIGNMENT: usize = 64;

mod sealed {
    /// Numbers of which every pattern of bits is a value, zero among them.
    pub trait Number: Copy + Send + Sync + 'static {}
    impl Number for f32 {}
    impl Number for i32 {}
    impl Number for u16 {}
    impl Number for u8 {}
    impl Number for i8 {}
}

/// A buffer of numbers, zero at first, that starts at a multiple of 64 bytes. Its length never changes.
pub struct Aligned<T: sealed::Number> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: the buffer owns its memory as a boxed slice does, and numbers may go to any thread.
unsafe impl<T: sealed::Number> Send for Aligned<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: sealed::Number> Sync for Aligned<T> {}

impl<T: sealed::Number> Aligned<T> {
    /// A buffer of `length` zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        if length == 0 {
            return Self { start: NonNull::dangling(), length };
        }
        let layout = Self::layout(length);
        // SAFETY: the layout is not empty, because neither the length nor the size of a number is zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast::<T>()) else { handle_alloc_error(layout) };
        Self { start, length }
    }

    /// A buffer with these numbers.
    #[must_use]
    pub fn copied(numbers: &[T]) -> Self {
        let mut buffer = Self::zeroed(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }

    fn layout(length: usize) -> Layout {
        match Layout::array::<T>(length).and_then(|layout| layout.align_to(ALIGNMENT)) {
            Ok(layout) => layout,
            // The same panic as `Vec` has for a length that no address space holds.
            Err(_) => panic!("a buffer of {length} numbers is larger than memory can be"),
        }
    }
}

impl<T: sealed::Number> Drop for Aligned<T> {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: the memory came from the allocator with this very layout, and nothing uses it any more.
            unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.length)) }
        }
    }
}

impl<T: sealed::Number> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `length` numbers lie there, all of them initialised; a dangling start has length 0.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T: sealed::Number> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the exclusive borrow of the buffer is one of its numbers.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T: sealed::Number> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::copied(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_aligned_and_zero() {
        for length in [0, 1, 15, 16, 1000] {
            let buffer = Aligned::<f32>::zeroed(length);
            assert_eq!(buffer.len(), length);
            assert!(length == 0 || (buffer.as_ptr() as usize).is_multiple_of(ALIGNMENT));
            assert!(buffer.iter().all(|number| *number == 0.0));
        }
        assert_eq!(&Aligned::copied(&[1u8, 2, 3])[..], [1, 2, 3]);
    }
}
