//! Large contents go to and from a file a piece at a time.
//!
//! Many systems take a processor from a thread only between two calls of it, or seldom within one. A call that copies
//! a whole model holds its processor for milliseconds at a time whatever the thread's priority is, and a request
//! whose thread was to run there waits as long.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// What one call reads or writes at most: few enough bytes that copying them takes some tens of microseconds, and some
/// hundreds where the system must find the memory first.
const PIECE_BYTES: usize = 128 << 10;

/// Fills `bytes` with what a file has from `place` on.
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    let places = (place..).step_by(PIECE_BYTES);
    bytes.chunks_mut(PIECE_BYTES).zip(places).try_for_each(|(piece, place)| file.read_exact_at(piece, place))
}

/// Writes all of `bytes`.
pub(super) fn write_all(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(PIECE_BYTES).try_for_each(|piece| file.write_all(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that remembers how much each call gave it.
    #[derive(Default)]
    struct Calls {
        bytes: Vec<u8>,
        lengths: Vec<usize>,
    }

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes.extend(bytes);
            self.lengths.push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn contents() -> Vec<u8> {
        (0..PIECE_BYTES * 2 + 17).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn no_call_writes_more_than_a_piece() {
        let mut calls = Calls::default();
        write_all(&mut calls, &contents()).unwrap();
        assert_eq!(calls.lengths, [PIECE_BYTES, PIECE_BYTES, 17]);
        assert!(calls.bytes == contents());
    }

    #[test]
    fn what_was_written_is_read_from_any_place() {
        let mut file = tempfile::tempfile().unwrap();
        write_all(&mut file, &contents()).unwrap();
        for place in [0, 1, PIECE_BYTES, PIECE_BYTES + 5] {
            let mut bytes = vec![0; contents().len() - place];
            read_exact_at(&file, &mut bytes, place as u64).unwrap();
            assert!(bytes == contents()[place..], "{place}");
        }
        let mut beyond = [0];
        assert!(read_exact_at(&file, &mut beyond, contents().len() as u64).is_err());
    }
}
