//! Rows of keys, values and queries.

/// Rows of numbers in a larger buffer: row `i` starts at `i * stride`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first number of row 0 on.
    pub data: &'a [f32],
    /// From a row to the next, in numbers.
    pub stride: usize,
    /// How many rows there are.
    pub count: usize,
}

impl Rows<'_> {
    pub(super) fn check(&self, width: usize) {
        assert!(self.count <= 1 || self.stride >= width, "rows do not overlap");
        let needed = if self.count == 0 { 0 } else { (self.count - 1) * self.stride + width };
        assert!(self.data.len() >= needed, "{needed} numbers are needed, there are {}", self.data.len());
    }
}

/// Queries of one head to the keys that there are.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) head: usize,
    pub(super) queries: Rows<'a>,
    /// What products with the keys are multiplied with.
    pub(super) scale: f32,
    /// How many keys there are.
    pub(super) count: usize,
}
