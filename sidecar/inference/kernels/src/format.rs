//! The formats that numbers of weights and of products have.

/// A format of packed weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats, products and sums in float32.
    Float32,
    /// bfloat16 weights and rows, sums in float32.
    Bfloat16,
    /// One byte a weight with one scale a column; rows become bytes over the range that each of them has. Sums are
    /// exact integers.
    Int8,
}

impl Format {
    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Bfloat16 => 2,
            Self::Int8 => 1,
        }
    }

    /// How many numbers the 4 bytes of a step are.
    pub(crate) fn numbers_a_step(self) -> usize {
        4 / self.bytes()
    }

    /// How many steps a row of `inputs` numbers takes. Rows are filled up to whole vectors of 16 numbers.
    pub(crate) fn steps(self, inputs: usize) -> usize {
        inputs.next_multiple_of(16) / self.numbers_a_step()
    }
}
