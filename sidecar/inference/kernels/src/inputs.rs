//! Rows on their way into a linear layer: rounded once, used by every column.

use crate::aligned::Aligned;
use crate::format::Format;
use crate::table::Kernels;

/// Rows that were rounded to a layer's format, with space for a number of them.
pub struct Inputs {
    bytes: Aligned<u8>,
    scales: Aligned<f32>,
    zeros: Aligned<i32>,
    /// For a row that is put together of parts.
    whole: Vec<f32>,
    format: Format,
    width: usize,
}

/// The place of one row.
pub struct InputRow<'a> {
    kernels: Kernels,
    format: Format,
    width: usize,
    bytes: &'a mut [u8],
    scale: &'a mut f32,
    zero: &'a mut i32,
}

impl Inputs {
    /// Space for `rows` rows of up to `width` numbers, in any format.
    #[must_use]
    pub fn new(rows: usize, width: usize) -> Self {
        Self {
            bytes: Aligned::zeroed(rows * Self::row_bytes(Format::Float32, width)),
            scales: Aligned::zeroed(rows),
            zeros: Aligned::zeroed(rows),
            whole: vec![0.0; width],
            format: Format::Float32,
            width: 0,
        }
    }

    /// The bytes that space for so many rows takes.
    #[must_use]
    pub fn space_bytes(rows: usize, width: usize) -> u64 {
        (rows * (Self::row_bytes(Format::Float32, width) + 8) + width * 4) as u64
    }

    fn row_bytes(format: Format, width: usize) -> usize {
        format.steps(width) * 4
    }

    pub(crate) fn places(
        &mut self,
        kernels: Kernels,
        format: Format,
        width: usize,
        rows: usize,
    ) -> impl Iterator<Item = InputRow<'_>> + use<'_> {
        (self.format, self.width) = (format, width);
        let size = Self::row_bytes(format, width);
        assert!(
            rows <= self.scales.len() && rows * size <= self.bytes.len(),
            "space for {rows} rows of {width}"
        );
        let places = self.bytes.chunks_exact_mut(size).zip(self.scales.iter_mut()).zip(self.zeros.iter_mut());
        places.take(rows).map(move |((bytes, scale), zero)| InputRow {
            kernels,
            format,
            width,
            bytes,
            scale,
            zero,
        })
    }

    /// Space for one row that is put together of parts.
    pub(crate) fn take_whole(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.whole)
    }

    pub(crate) fn give_whole(&mut self, whole: Vec<f32>) {
        self.whole = whole;
    }

    pub(crate) fn fits(&self, format: Format, width: usize, rows: usize) -> bool {
        rows == 0 || (self.format == format && self.width == width && rows <= self.scales.len())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(crate) fn zeros(&self) -> &[i32] {
        &self.zeros
    }
}

impl InputRow<'_> {
    /// Rounds `numbers` into this place.
    ///
    /// # Panics
    /// Where they are not as many as the layer takes.
    pub fn set(self, numbers: &[f32]) {
        assert_eq!(numbers.len(), self.width, "a row has as many numbers as the layer takes");
        let table = self.kernels.table;
        let out = self.bytes.as_mut_ptr();
        // SAFETY: the place has space for the numbers in this format, and starts at a multiple of 64 bytes.
        unsafe {
            match self.format {
                Format::Float32 => std::ptr::copy_nonoverlapping(numbers.as_ptr(), out.cast(), self.width),
                Format::Bfloat16 => (table.to_bfloat16)(numbers.as_ptr(), self.width, 1.0, out.cast()),
                Format::Int8 => {
                    (*self.scale, *self.zero) =
                        (table.to_bytes)(numbers.as_ptr(), self.width, table.greatest_byte, out);
                }
            }
        }
        // What fills the row up meets weights of zero, but must not be left from a row of numbers that are none.
        self.bytes[self.width * self.format.bytes()..].fill(0);
    }
}

/// Frames of a signal that a convolution looks at, several at a time: in float32 or bfloat16, one after another, so
/// that a row of a product is any number of frames that follow one another.
pub struct Frames {
    kernels: Kernels,
    format: Format,
    channels: usize,
    count: usize,
    bytes: Aligned<u8>,
}

/// Some frames that follow one another, to be set by one thread.
pub struct FramesMut<'a> {
    kernels: Kernels,
    format: Format,
    channels: usize,
    bytes: &'a mut [u8],
}

impl Frames {
    /// `count` frames of zeros.
    ///
    /// # Panics
    /// Where the format is bytes, which products of frames do not come in.
    #[must_use]
    pub fn zeroed(kernels: Kernels, format: Format, count: usize, channels: usize) -> Self {
        assert!(format != Format::Int8, "frames are floats");
        // A row is read up to whole vectors of 16 numbers, of which the last meet weights of zero.
        let numbers = count * channels + 16;
        Self { kernels, format, channels, count, bytes: Aligned::zeroed(numbers * format.bytes()) }
    }

    /// The frames from `first` on, in blocks of `size`; the last may be smaller.
    ///
    /// # Panics
    /// Where there are not `first` frames, or `size` is 0.
    pub fn blocks_mut(&mut self, first: usize, size: usize) -> impl Iterator<Item = FramesMut<'_>> {
        let frame = self.channels * self.format.bytes();
        let (kernels, format, channels) = (self.kernels, self.format, self.channels);
        let end = self.count * frame;
        let blocks = self.bytes[first * frame..end].chunks_mut(size * frame);
        blocks.map(move |bytes| FramesMut { kernels, format, channels, bytes })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Where a frame starts, and how many bytes each has.
    pub(crate) fn start(&self, frame: usize) -> (*const u8, usize) {
        let bytes = self.channels * self.format.bytes();
        (self.bytes[frame * bytes..].as_ptr(), bytes)
    }
}

impl FramesMut<'_> {
    /// Rounds `numbers` into the frame `index` of these.
    ///
    /// # Panics
    /// Where there is no such frame, or there are other than one number for each channel.
    pub fn set(&mut self, index: usize, numbers: &[f32]) {
        assert_eq!(numbers.len(), self.channels, "a frame has one number for each channel");
        let size = self.channels * self.format.bytes();
        let out = self.bytes[index * size..][..size].as_mut_ptr();
        // SAFETY: the frame has space for the numbers. Frames of odd size may lie unaligned, which no kernel minds.
        unsafe {
            match self.format {
                Format::Bfloat16 => {
                    (self.kernels.table.to_bfloat16)(numbers.as_ptr(), numbers.len(), 1.0, out.cast());
                }
                _ => std::ptr::copy_nonoverlapping(numbers.as_ptr().cast(), out, size),
            }
        }
    }
}
