//! Operations on rows of numbers.

use crate::activation::Activation;
use crate::aligned::Numbers;
use crate::format::Format;
use crate::table::Kernels;

/// The gain and bias of a layer norm.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// Times this.
    pub gain: Numbers<f32>,
    /// Plus this.
    pub bias: Numbers<f32>,
    /// What is added to the variance, so that a row of equal numbers does not divide by zero.
    pub epsilon: f32,
}

impl Kernels {
    /// The deviations of a row's numbers from their mean over their standard deviation, times gain, plus bias.
    ///
    /// # Panics
    /// Where `row`, `out`, gain and bias do not have as many numbers.
    pub fn layer_norm(self, norm: &LayerNorm, row: &[f32], out: &mut [f32]) {
        let count = row.len();
        assert!([norm.gain.len(), norm.bias.len(), out.len()].iter().all(|length| *length == count));
        // SAFETY: the processor has the instructions, and there are `count` numbers of each.
        unsafe {
            let (gain, bias) = (norm.gain.as_ptr(), norm.bias.as_ptr());
            (self.table.layer_norm)(row.as_ptr(), count, gain, bias, norm.epsilon, out.as_mut_ptr());
        }
    }

    /// As [`Kernels::layer_norm`], in place.
    ///
    /// # Panics
    /// Where the row, gain and bias do not have as many numbers.
    pub fn layer_norm_in_place(self, norm: &LayerNorm, row: &mut [f32]) {
        let count = row.len();
        assert!([norm.gain.len(), norm.bias.len()].iter().all(|length| *length == count));
        // SAFETY: as above. The kernel reads a number before it writes in its place, and never again.
        unsafe {
            let (gain, bias, row) = (norm.gain.as_ptr(), norm.bias.as_ptr(), row.as_mut_ptr());
            (self.table.layer_norm)(row, count, gain, bias, norm.epsilon, row);
        }
    }

    /// Applies a function to every number.
    pub fn activate(self, activation: Activation, row: &mut [f32]) {
        // SAFETY: the processor has the instructions, and there are that many numbers.
        unsafe { (self.table.activate)(row.as_mut_ptr(), row.len(), activation) }
    }

    /// As [`Kernels::activate`], of numbers that go on in a format: those that become bfloat16 are as exact as they need to
    /// be, and sooner done. Bytes have lost so much that there is nothing to spare: whisper-base has 4.05 % instead of
    /// 3.57 % of its words otherwise than in float32 where they are rounded twice.
    pub fn activate_for(self, format: Format, activation: Activation, row: &mut [f32]) {
        let activate = match format {
            Format::Float32 | Format::Int8 => self.table.activate,
            Format::Bfloat16 => self.table.activate_roughly,
        };
        // SAFETY: the processor has the instructions, and there are that many numbers.
        unsafe { activate(row.as_mut_ptr(), row.len(), activation) }
    }

    /// Rounds numbers to bfloat16.
    ///
    /// # Panics
    /// Where there is not as much space.
    pub fn to_bfloat16(self, row: &[f32], out: &mut [u16]) {
        assert_eq!(row.len(), out.len(), "a place for each number");
        // SAFETY: the processor has the instructions, and there are as many numbers as places.
        unsafe { (self.table.to_bfloat16)(row.as_ptr(), row.len(), 1.0, out.as_mut_ptr()) }
    }

    /// Multiplies every number with `factor`.
    pub fn scale(self, row: &mut [f32], factor: f32) {
        // SAFETY: the processor has the instructions, and there are that many numbers.
        unsafe { (self.table.scale)(row.as_mut_ptr(), row.len(), factor) }
    }

    /// The greatest number; negative infinity of none.
    #[must_use]
    pub fn greatest(self, row: &[f32]) -> f32 {
        // SAFETY: the processor has the instructions, and there are that many numbers.
        unsafe { (self.table.greatest)(row.as_ptr(), row.len()) }
    }

    /// Where the first of the greatest numbers is; 0 of none.
    #[must_use]
    pub fn position_of_greatest(self, row: &[f32]) -> usize {
        if row.is_empty() {
            return 0;
        }
        // SAFETY: the processor has the instructions, and there are that many numbers, at least one.
        unsafe { (self.table.position_of_greatest)(row.as_ptr(), row.len()) }
    }

    /// Whether every number is finite.
    #[must_use]
    pub fn is_finite(self, row: &[f32]) -> bool {
        // SAFETY: the processor has the instructions, and there are that many numbers.
        unsafe { (self.table.is_finite)(row.as_ptr(), row.len()) }
    }

    /// The logarithm of the sum of e to the power of each number.
    #[must_use]
    pub fn log_sum_exp(self, row: &[f32]) -> f32 {
        self.log_sum_exp_below(row, self.greatest(row))
    }

    /// As [`Kernels::log_sum_exp`], of numbers of which `most` is the greatest.
    #[must_use]
    pub fn log_sum_exp_below(self, row: &[f32], most: f32) -> f32 {
        if !most.is_finite() {
            return most;
        }
        // SAFETY: the processor has the instructions, and there are that many numbers.
        let sum = unsafe { (self.table.sum_of_exp)(row.as_ptr(), row.len(), most) };
        most + sum.ln()
    }

    /// Replaces numbers by the logarithms of their softmax. Where none is above negative infinity they stay as they
    /// are.
    pub fn log_softmax(self, row: &mut [f32]) {
        let sum = self.log_sum_exp(row);
        if sum == f32::NEG_INFINITY {
            return;
        }
        // SAFETY: the processor has the instructions, and there are that many numbers.
        unsafe { (self.table.shift)(row.as_mut_ptr(), row.len(), -sum) }
    }
}

#[cfg(test)]
mod tests;
