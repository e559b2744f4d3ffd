//! Attention of one row of queries to keys and values that lie apart.

use crate::row::Attend;
use crate::table::Kernels;

/// Keys and values that lie as rows in larger buffers, heads side by side in each row.
#[derive(Clone, Copy)]
pub enum Context<'a> {
    /// Of float32.
    Float32 {
        /// From the first number of the first key on.
        keys: &'a [f32],
        /// From the first number of the first value on.
        values: &'a [f32],
    },
    /// Of bfloat16.
    Bfloat16 {
        /// As for float32.
        keys: &'a [u16],
        /// As for float32.
        values: &'a [u16],
    },
}

impl Kernels {
    /// What a row of queries, one for each head of `head_width` numbers, sees of keys and values: `offsets` says where
    /// each key, and its value, starts. `scores` is space for a number for each key and head.
    ///
    /// # Panics
    /// Where there are no keys, heads are not whole, a row is not within its buffer, or `scores` is too small.
    #[expect(clippy::too_many_arguments, reason = "each is a plain slice, and no two belong together")]
    pub fn attend_rows(
        self,
        queries: &[f32],
        context: Context<'_>,
        offsets: &[usize],
        head_width: usize,
        scale: f32,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let (count, all) = (offsets.len(), queries.len());
        assert!(head_width > 0 && all.is_multiple_of(head_width), "heads of {head_width} in rows of {all}");
        let heads = all / head_width;
        assert!(count > 0 && scores.len() >= count * heads, "{count} keys of {heads} heads");
        assert_eq!(out.len(), all, "the result is as wide as the queries");
        let last = offsets.iter().copied().max().unwrap_or(0);
        let needed = last.saturating_add(all);
        let (keys, values) = match context {
            Context::Float32 { keys, values } => (keys.len(), values.len()),
            Context::Bfloat16 { keys, values } => (keys.len(), values.len()),
        };
        assert!(keys >= needed && values >= needed, "rows lie within their buffers");
        let work = Attend {
            queries: queries.as_ptr(),
            keys: std::ptr::null::<()>(),
            values: std::ptr::null(),
            offsets: offsets.as_ptr(),
            count,
            heads,
            width: head_width,
            scale,
            scores: scores.as_mut_ptr(),
            out: out.as_mut_ptr(),
        };
        // SAFETY: the processor has the instructions, and every row is within its buffer.
        unsafe {
            match context {
                Context::Float32 { keys, values } => {
                    (self.table.attend)(&work.with(keys.as_ptr(), values.as_ptr()));
                }
                Context::Bfloat16 { keys, values } => {
                    (self.table.attend_bfloat16)(&work.with(keys.as_ptr(), values.as_ptr()));
                }
            }
        }
    }
}
