//! A layer in the making: weights are packed as they come in.

use super::{Linear, column};
use crate::format::Format;
use crate::product::STEP_BYTES;

/// A layer whose weights come in row by row.
pub struct LinearBuilder {
    pub(super) linear: Linear,
    pub(super) filled: usize,
}

impl LinearBuilder {
    /// Adds whole rows of weights.
    ///
    /// # Panics
    /// Where there are more rows than outputs, or a row is not whole.
    pub fn push(&mut self, weights: &[f32]) {
        let inputs = self.linear.inputs;
        assert!(inputs > 0 && weights.len().is_multiple_of(inputs), "rows of {inputs} weights");
        assert!(self.filled + weights.len() / inputs <= self.linear.outputs, "no more rows than outputs");
        for row in weights.chunks_exact(inputs) {
            self.set(row);
            self.filled += 1;
        }
    }

    /// The layer.
    ///
    /// # Panics
    /// Where rows are missing.
    #[must_use]
    pub fn finish(self) -> Linear {
        assert_eq!(self.filled, self.linear.outputs, "every output has its row of weights");
        self.linear
    }

    /// A layer whose missing weights are zero: it has the size of the whole one, of which the system gives no page
    /// before it is written.
    #[must_use]
    pub fn empty(self) -> Linear {
        self.linear
    }

    /// Rounds the next row of weights into its column.
    fn set(&mut self, row: &[f32]) {
        let Linear { kernels, format, panels, scales, totals, .. } = &mut self.linear;
        let place = column(self.linear.steps, self.filled);
        let end = place + (self.linear.steps - 1) * STEP_BYTES + 4;
        let panel = panels[place..end].as_mut_ptr();
        let table = kernels.table;
        // SAFETY: the processor has the instructions; the column has as many steps as a row of `inputs` numbers takes.
        unsafe {
            match format {
                Format::Float32 => (table.pack_float32)(row.as_ptr(), row.len(), panel),
                Format::Bfloat16 => (table.pack_bfloat16)(row.as_ptr(), row.len(), panel),
                Format::Int8 => {
                    (scales[self.filled], totals[self.filled]) = (table.pack_int8)(row.as_ptr(), row.len(), panel);
                }
            }
        }
    }
}
