//! Linear layers with packed weights.

mod builder;

pub use builder::{LinearBuilder, LinearShape, RowBlock};

use crate::aligned::Numbers;
use crate::format::Format;
use crate::inputs::{Frames, InputRow, Inputs};
use crate::product::{PANEL, Product, STEP_BYTES};
use crate::table::Kernels;
use crate::team::Lanes;

/// The most inputs of a layer: sums of so many products of bytes fit 32 bits.
pub const MAX_INPUTS: usize = 1 << 16;

/// Whether a product replaces what is in its place or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It replaces it.
    Set,
    /// It is added to it, as a residual connection wants.
    Add,
}

/// A linear layer: rows of `inputs` numbers become rows of `outputs` numbers.
pub struct Linear {
    kernels: Kernels,
    format: Format,
    inputs: usize,
    outputs: usize,
    steps: usize,
    panels: Numbers<u8>,
    /// Of whole panels; empty where there is none.
    bias: Numbers<f32>,
    /// For bytes, of whole panels.
    scales: Numbers<f32>,
    totals: Numbers<i32>,
}

impl Linear {
    /// A layer of weights that are all there: `outputs` rows of `inputs` numbers.
    ///
    /// # Panics
    /// Where there are more inputs than [`MAX_INPUTS`], other than that many weights, or other than one bias for each
    /// output.
    #[must_use]
    pub fn new(
        kernels: Kernels,
        format: Format,
        outputs: usize,
        inputs: usize,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "{outputs} rows of {inputs} weights");
        let shape = LinearShape { kernels, format, outputs, inputs, has_bias: bias.is_some() };
        let mut builder = LinearBuilder::new(shape);
        if let Some(bias) = bias {
            builder.bias_mut().copy_from_slice(bias);
        }
        for mut block in builder.blocks_mut(1) {
            let rows = weights[block.rows().start * inputs..].chunks_exact(inputs);
            for (index, row) in block.rows().zip(rows) {
                block.set(index, row);
            }
        }
        builder.finish()
    }

    /// Numbers of a row that goes in.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers of a row that comes out.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The format of the weights.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The kernels that it was packed for.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Rounds a row for this layer.
    ///
    /// # Panics
    /// Where there is no space for it, or it is not as wide as the layer.
    pub fn prepare(&self, inputs: &mut Inputs, row: usize, numbers: &[f32]) {
        if let Some(place) = self.places(inputs, row + 1).nth(row) {
            place.set(numbers);
        }
    }

    /// As [`Linear::prepare`], of parts that lie one after another in the row.
    ///
    /// # Panics
    /// As [`Linear::prepare`].
    pub fn prepare_parts<'a>(&self, inputs: &mut Inputs, row: usize, parts: impl Iterator<Item = &'a [f32]>) {
        let mut whole = inputs.take_whole();
        let mut at = 0;
        for part in parts {
            whole[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.prepare(inputs, row, &whole[..at]);
        inputs.give_whole(whole);
    }

    /// The places of the first `rows` rows, to be set for this layer, each by whichever thread.
    ///
    /// # Panics
    /// Where there is not space for that many.
    pub fn places<'a>(
        &self,
        inputs: &'a mut Inputs,
        rows: usize,
    ) -> impl Iterator<Item = InputRow<'a>> + use<'a> {
        inputs.places(self.kernels, self.format, self.inputs, rows)
    }

    /// Computes the first `rows` of `inputs` on this thread. Row `i` of the result starts at `out[i * stride]`.
    ///
    /// # Panics
    /// Where `inputs` were prepared for another layer's format or width, or `out` is too small.
    pub fn forward_here(&self, inputs: &Inputs, rows: usize, out: &mut [f32], stride: usize, write: Write) {
        let product = self.product(inputs, rows, out, stride, write);
        self.compute(&product);
    }

    /// As [`Linear::forward_here`], on all threads of the job: each computes some of the columns.
    ///
    /// # Panics
    /// As [`Linear::forward_here`].
    pub fn forward(
        &self,
        lanes: &Lanes<'_>,
        inputs: &Inputs,
        rows: usize,
        out: &mut [f32],
        stride: usize,
        write: Write,
    ) {
        let product = self.product(inputs, rows, out, stride, write);
        let product = &Borrowed(product);
        lanes.split(product.0.end_panel, |panels| {
            // Threads that are equally fast take turns, so that this one most likely goes on behind the others' pieces.
            let next = panels.end + (lanes.threads() - 1) * panels.len();
            let next = (next < product.0.end_panel)
                .then(|| product.0.panels.wrapping_add(column(self.steps, next * PANEL)));
            self.compute(&Product {
                first_panel: panels.start,
                end_panel: panels.end,
                next: next.unwrap_or(std::ptr::null()),
                ..product.0
            });
        });
    }

    /// Computes rows of frames that overlap, on this thread: row `i` starts at the frame `first + i * step` and
    /// takes as many frames as the layer has inputs for. A convolution is such a product.
    ///
    /// # Panics
    /// Where the rows are not all within the frames, the formats differ, or `out` is too small.
    pub fn forward_overlapping(
        &self,
        frames: &Frames,
        first: usize,
        step: usize,
        rows: usize,
        out: &mut [f32],
        stride: usize,
    ) {
        assert_eq!(self.format, frames.format(), "frames and weights have one format");
        assert!(self.inputs.is_multiple_of(frames.channels()), "a row is whole frames");
        let taken = self.inputs / frames.channels();
        assert!(
            rows == 0 || first + (rows - 1) * step + taken <= frames.count(),
            "rows lie within the frames"
        );
        let (row_data, frame_bytes) = frames.start(first);
        self.check_out(rows, out, stride);
        self.compute(&Product {
            rows,
            row_data,
            row_stride: step * frame_bytes,
            ..self.to(out, stride, Write::Set)
        });
    }

    /// Row `output` of the weights as they are after rounding: an embedding that is tied to the output layer is one
    /// of its rows.
    ///
    /// # Panics
    /// Where there is no such row, or `out` has not one place for each input.
    pub fn weight_row(&self, output: usize, out: &mut [f32]) {
        assert!(output < self.outputs && out.len() == self.inputs, "row {output} of {}", self.outputs);
        if out.is_empty() {
            return;
        }
        let place = column(self.steps, output);
        let column = self.panels[place..place + (self.steps - 1) * STEP_BYTES + 4].as_ptr();
        let table = self.kernels.table;
        // SAFETY: the processor has the instructions; the column has as many steps as a row of `inputs` numbers takes.
        unsafe {
            match self.format {
                Format::Float32 => (table.unpack_float32)(column, out.len(), out.as_mut_ptr()),
                Format::Bfloat16 => (table.unpack_bfloat16)(column, out.len(), out.as_mut_ptr()),
                Format::Int8 => {
                    (table.unpack_int8)(column, out.len(), self.scales[output], out.as_mut_ptr());
                }
            }
        }
    }

    fn check_out(&self, rows: usize, out: &[f32], stride: usize) {
        assert!(stride >= self.outputs, "rows of {} do not fit a stride of {stride}", self.outputs);
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + self.outputs };
        assert!(out.len() >= needed, "the result needs {needed} places, there are {}", out.len());
    }

    fn product(&self, inputs: &Inputs, rows: usize, out: &mut [f32], stride: usize, write: Write) -> Product {
        assert!(
            inputs.fits(self.format, self.inputs, rows),
            "the rows were prepared for this format and width"
        );
        self.check_out(rows, out, stride);
        let is_bytes = self.format == Format::Int8;
        Product {
            rows,
            row_data: inputs.bytes().as_ptr(),
            row_stride: self.steps * 4,
            row_scales: if is_bytes { inputs.scales().as_ptr() } else { std::ptr::null() },
            row_zeros: if is_bytes { inputs.zeros().as_ptr() } else { std::ptr::null() },
            ..self.to(out, stride, write)
        }
    }

    /// A product without rows.
    fn to(&self, out: &mut [f32], stride: usize, write: Write) -> Product {
        assert!(
            self.outputs == 0 || self.inputs == 0 || !self.panels.is_empty(),
            "a hollow layer has no weights"
        );
        let is_bytes = self.format == Format::Int8;
        Product {
            panels: self.panels.as_ptr(),
            steps: self.steps,
            end_panel: self.outputs.div_ceil(PANEL),
            columns: self.outputs,
            column_scales: if is_bytes { self.scales.as_ptr() } else { std::ptr::null() },
            column_totals: if is_bytes { self.totals.as_ptr() } else { std::ptr::null() },
            bias: if self.bias.is_empty() { std::ptr::null() } else { self.bias.as_ptr() },
            out: out.as_mut_ptr(),
            out_stride: stride,
            accumulate: write == Write::Add,
            ..Product::EMPTY
        }
    }

    fn compute(&self, product: &Product) {
        let table = self.kernels.table;
        // SAFETY: the processor has the instructions, as there is no `Kernels` otherwise. Rows, panels, scales and
        // bias are this layer's and its inputs', whose sizes were checked; so was that of the result. They are
        // borrowed by the functions above for as long as this runs.
        unsafe {
            match self.format {
                Format::Float32 => (table.float32)(product),
                Format::Bfloat16 => (table.bfloat16)(product),
                Format::Int8 => (table.int8)(product),
            }
        }
    }
}

/// Where the first 4 bytes of a column are, in panels of so many steps.
fn column(steps: usize, output: usize) -> usize {
    output / PANEL * steps * STEP_BYTES + output % PANEL * 4
}

/// A product whose pointers are borrowed while threads compute parts of it.
struct Borrowed(Product);

// SAFETY: threads only read through it, but for the result, of which each writes columns of its own.
unsafe impl Sync for Borrowed {}

#[cfg(test)]
pub(crate) mod tests;
