//! One piece of memory for everything that a model holds.
//!
//! It comes from the system and goes back to it as a whole, so that a model that leaves is gone from the process at
//! once, and it asks for large pages: a decoder step reads all weights of a model, and with pages of 4 KiB it would
//! wait for one translation of an address after another.

use std::io;
use std::sync::Arc;

use crate::aligned::{ALIGNMENT, Aligned, Number};
use crate::memory::Memory;

/// The largest pages that systems of this architecture are built with, in bytes: memory is given out in whole ones.
const PAGE: u64 = if cfg!(target_arch = "aarch64") { 64 << 10 } else { 4 << 10 };

/// Memory that buffers are taken from, one behind another, zero at first.
pub struct Arena {
    memory: Arc<Memory>,
    taken: usize,
}

impl Arena {
    /// Memory of exactly so many bytes, rounded up to whole pages.
    ///
    /// # Errors
    /// Where the system has no more.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let length = usize::try_from(Self::whole_pages(bytes)).map_err(io::Error::other)?;
        Ok(Self { memory: Arc::new(Memory::new(length)?), taken: 0 })
    }

    /// What so many bytes take of the system.
    #[must_use]
    pub fn whole_pages(bytes: u64) -> u64 {
        bytes.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX)
    }

    /// What a buffer of so many numbers takes of an arena: each starts at a cache line.
    #[must_use]
    pub fn space<T: Number>(length: usize) -> u64 {
        let bytes = (length as u64).saturating_mul(size_of::<T>() as u64);
        bytes.checked_next_multiple_of(ALIGNMENT as u64).unwrap_or(u64::MAX)
    }

    /// Takes the next buffer of `length` numbers. They are what lies there: zeros, or what [`Arena::bytes_mut`] got.
    /// `None` where there is no space for it.
    pub fn take<T: Number>(&mut self, length: usize) -> Option<Aligned<T>> {
        let end = Self::space::<T>(length).checked_add(self.taken as u64)?;
        let end = usize::try_from(end).ok().filter(|end| *end <= self.memory.length())?;
        // SAFETY: the place lies within the memory, at a multiple of 64 bytes from its start, which is a page's; no
        // other buffer has it, since places are given out once; any bits are numbers.
        let buffer = unsafe {
            let start = self.memory.start().add(self.taken).cast::<T>();
            Aligned::within(start, length, Arc::clone(&self.memory))
        };
        self.taken = end;
        Some(buffer)
    }

    /// The first `length` bytes, to be filled before any buffer is taken. `None` where one was, or there are not as
    /// many.
    pub fn bytes_mut(&mut self, length: usize) -> Option<&mut [u8]> {
        if self.taken > 0 || length > self.memory.length() {
            return None;
        }
        // SAFETY: no buffer was taken, so nobody else has any of it, and nobody gets any while this is borrowed.
        Some(unsafe { std::slice::from_raw_parts_mut(self.memory.start(), length) })
    }

    /// The bytes that were taken. `None` where a buffer may still be written.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        if self.memory.is_open() {
            return None;
        }
        // SAFETY: every buffer is read only by now, and none is taken while this is borrowed.
        Some(unsafe { std::slice::from_raw_parts(self.memory.start(), self.taken) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_lie_one_behind_another_and_fill_the_arena() {
        let bytes = Arena::space::<f32>(3) + Arena::space::<u8>(65) + Arena::space::<i32>(0);
        assert_eq!(bytes, 64 + 128);
        let mut arena = Arena::new(bytes).unwrap();
        let mut first = arena.take::<f32>(3).unwrap();
        let second = arena.take::<u8>(65).unwrap();
        assert!(arena.take::<i32>(0).unwrap().is_empty());
        assert!([first.as_ptr() as usize, second.as_ptr() as usize].iter().all(|at| at % ALIGNMENT == 0));
        first.copy_from_slice(&[1.0, 2.0, 3.0]);
        assert!(arena.bytes().is_none(), "a buffer may still be written");
        let (first, second) = (first.freeze(), second.freeze());
        assert_eq!(arena.bytes().unwrap()[..4], 1f32.to_le_bytes());
        assert_eq!(arena.bytes().unwrap().len() as u64, bytes);
        let rest = (Arena::whole_pages(bytes) - bytes) as usize;
        assert!(arena.take::<u8>(rest + 1).is_none());
        drop(arena);
        // Buffers outlive it.
        assert_eq!((&first[..], second.len()), (&[1.0, 2.0, 3.0][..], 65));
    }

    #[test]
    fn contents_come_before_buffers() {
        let mut arena = Arena::new(8).unwrap();
        assert!(arena.bytes_mut(1 << 30).is_none());
        arena.bytes_mut(8).unwrap().copy_from_slice(&[7; 8]);
        assert_eq!(&arena.take::<u8>(8).unwrap().freeze()[..], [7; 8]);
        assert!(arena.bytes_mut(8).is_none());
    }

    /// The memory of a process, in pages, as the system counts it.
    #[cfg(target_os = "linux")]
    fn resident() -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_there_when_it_is_written_and_gone_with_the_last_buffer() {
        const BYTES: u64 = 256 << 20;
        let pages = BYTES / PAGE;
        let before = resident();
        let mut arena = Arena::new(BYTES).unwrap();
        // Other tests take memory meanwhile, but not as much.
        assert!(resident() < before + pages / 2);
        let mut buffer = arena.take::<u8>(BYTES as usize).unwrap();
        buffer.fill(1);
        assert!(resident() > before + pages / 2);
        drop(arena);
        let buffer = buffer.freeze();
        assert_eq!(buffer[BYTES as usize - 1], 1);
        drop(buffer);
        assert!(resident() < before + pages / 2);
    }
}
