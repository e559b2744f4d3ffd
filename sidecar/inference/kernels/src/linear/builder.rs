//! A layer in the making: weights are packed as they come in.

use super::Linear;
use crate::format::Format;
use crate::vector::portable::to_bfloat16;

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
            match self.linear.format {
                Format::Float32 => self.push_float32(row),
                Format::Bfloat16 => self.push_bfloat16(row),
                Format::Int8 => self.push_int8(row),
            }
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

    fn push_float32(&mut self, row: &[f32]) {
        for (step, weight) in row.iter().enumerate() {
            let place = self.linear.place(self.filled, step);
            self.linear.panels[place..place + 4].copy_from_slice(&weight.to_le_bytes());
        }
    }

    fn push_bfloat16(&mut self, row: &[f32]) {
        for (step, pair) in row.chunks(2).enumerate() {
            let place = self.linear.place(self.filled, step);
            for (bytes, weight) in
                self.linear.panels[place..place + 4].as_chunks_mut::<2>().0.iter_mut().zip(pair)
            {
                *bytes = to_bfloat16(*weight).to_le_bytes();
            }
        }
    }

    /// Symmetric: the greatest weight of the row becomes 127 or -127.
    fn push_int8(&mut self, row: &[f32]) {
        let greatest = row.iter().fold(0.0f32, |greatest, weight| greatest.max(weight.abs()));
        // A weight that is no number makes the scale none, and with it every result of this column.
        let greatest = if row.iter().all(|weight| weight.is_finite()) { greatest } else { f32::NAN };
        let step = if greatest == 0.0 { 1.0 } else { greatest / 127.0 };
        let mut total = 0;
        for (index, four) in row.chunks(4).enumerate() {
            let place = self.linear.place(self.filled, index);
            for (byte, weight) in self.linear.panels[place..place + 4].iter_mut().zip(four) {
                let rounded = (weight / step).round_ties_even().clamp(-127.0, 127.0) as i8;
                total += i32::from(rounded);
                *byte = rounded as u8;
            }
        }
        self.linear.scales[self.filled] = step;
        self.linear.totals[self.filled] = total;
    }
}
