//! Memory of the system that an arena's buffers share.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{MmapMut, MmapRaw};

/// Memory that goes back to the system with the last buffer in it.
pub(crate) struct Memory {
    map: MmapRaw,
    /// How many buffers may still be written.
    open: AtomicUsize,
}

impl Memory {
    /// So many bytes of zeros, of which the system gives no page before it is written; in large pages where it can.
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        let map = MmapMut::map_anon(length.max(1))?;
        #[cfg(target_os = "linux")]
        {
            // A system without large pages refuses, and small ones are as right.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { map: MmapRaw::from(map), open: AtomicUsize::new(0) })
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    pub(crate) fn length(&self) -> usize {
        self.map.len()
    }

    /// A buffer may be written from now on.
    pub(crate) fn open_one(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them may not any more.
    pub(crate) fn close_one(&self) {
        self.open.fetch_sub(1, Ordering::Release);
    }

    /// Whether any buffer may be written.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }
}
