//! What is packed of keys and values.

/// The keys or values of one head, row after row, to be packed.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// The first number of the head in row 0.
    pub(crate) rows: *const f32,
    /// From a row to the next, in numbers.
    pub(crate) stride: usize,
    /// How many rows there are.
    pub(crate) count: usize,
    /// Numbers of the head in a row.
    pub(crate) width: usize,
    /// Steps of a panel of keys: each row is a column of it.
    pub(crate) key_steps: usize,
    /// Steps of a panel of values: each number of the head is a column of it.
    pub(crate) value_steps: usize,
}

impl Head {
    /// # Safety
    /// `index` is less than `count`.
    #[inline(always)]
    pub(super) unsafe fn row(&self, index: usize) -> &[f32] {
        // SAFETY: `count` rows of `width` numbers are there.
        unsafe { std::slice::from_raw_parts(self.rows.add(index * self.stride), self.width) }
    }
}
