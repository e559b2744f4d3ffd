//! A layer in the making: rows of weights become columns of its panels, on several threads where there are some.

use std::ops::Range;

use super::{Linear, MAX_INPUTS, column};
use crate::aligned::{Aligned, Numbers};
use crate::arena::Arena;
use crate::format::Format;
use crate::product::{PANEL, STEP_BYTES};
use crate::table::Kernels;

/// What a layer is, before it has weights.
#[derive(Debug, Clone, Copy)]
pub struct LinearShape {
    /// The kernels that will compute it.
    pub kernels: Kernels,
    /// The format of its weights.
    pub format: Format,
    /// Numbers of a row that comes out.
    pub outputs: usize,
    /// Numbers of a row that goes in, at most [`MAX_INPUTS`].
    pub inputs: usize,
    /// Whether something is added to the products.
    pub has_bias: bool,
}

/// A layer whose weights are being set. Those that are not are what lies in its memory: zeros in memory of its own.
pub struct LinearBuilder {
    shape: LinearShape,
    panels: Aligned<u8>,
    bias: Aligned<f32>,
    scales: Aligned<f32>,
    totals: Aligned<i32>,
}

/// Some rows of weights that follow one another, to be set by one thread.
pub struct RowBlock<'a> {
    shape: LinearShape,
    rows: Range<usize>,
    panels: &'a mut [u8],
    scales: &'a mut [f32],
    totals: &'a mut [i32],
}

/// The lengths of a layer's buffers: of bytes of panels, of the bias, and of scales and totals.
struct Lengths {
    panels: usize,
    bias: usize,
    scaled: usize,
}

impl LinearShape {
    fn steps(self) -> usize {
        self.format.steps(self.inputs)
    }

    fn lengths(self) -> Lengths {
        let whole = self.outputs.next_multiple_of(PANEL);
        Lengths {
            panels: whole / PANEL * self.steps() * STEP_BYTES,
            bias: if self.has_bias { whole } else { 0 },
            scaled: if self.format == Format::Int8 { whole } else { 0 },
        }
    }

    /// The bytes that the layer takes, in an arena too.
    #[must_use]
    pub fn bytes(self) -> u64 {
        let Lengths { panels, bias, scaled } = self.lengths();
        panels as u64 + 4 * (bias + 2 * scaled) as u64
    }
}

impl LinearShape {
    /// A layer without weights, to be measured and never to be computed with. It takes no memory.
    #[must_use]
    pub fn hollow(self) -> Linear {
        let Self { kernels, format, outputs, inputs, .. } = self;
        Linear {
            kernels,
            format,
            inputs,
            outputs,
            steps: self.steps(),
            panels: Numbers::default(),
            bias: Numbers::default(),
            scales: Numbers::default(),
            totals: Numbers::default(),
        }
    }
}

impl LinearBuilder {
    /// Begins a layer in memory of its own, of which the system gives no page before it is written.
    ///
    /// # Panics
    /// Where there are more inputs than [`MAX_INPUTS`].
    #[must_use]
    pub fn new(shape: LinearShape) -> Self {
        let Lengths { panels, bias, scaled } = checked(shape);
        Self {
            shape,
            panels: Aligned::zeroed(panels),
            bias: Aligned::zeroed(bias),
            scales: Aligned::zeroed(scaled),
            totals: Aligned::zeroed(scaled),
        }
    }

    /// Begins a layer in an arena. `None` where that has not the space.
    ///
    /// # Panics
    /// As [`LinearBuilder::new`].
    #[must_use]
    pub fn within(shape: LinearShape, arena: &mut Arena) -> Option<Self> {
        let Lengths { panels, bias, scaled } = checked(shape);
        Some(Self {
            shape,
            panels: arena.take(panels)?,
            bias: arena.take(bias)?,
            scales: arena.take(scaled)?,
            totals: arena.take(scaled)?,
        })
    }

    /// What is added to the products, one number for each output; empty where nothing is.
    pub fn bias_mut(&mut self) -> &mut [f32] {
        let length = self.bias.len().min(self.shape.outputs);
        &mut self.bias[..length]
    }

    /// All rows of weights, in blocks of about so many, in whole panels; the last may be smaller.
    pub fn blocks_mut(&mut self, rows: usize) -> impl Iterator<Item = RowBlock<'_>> {
        let (shape, panels) = (self.shape, (rows / PANEL).max(1));
        let rows = panels * PANEL;
        let (mut scales, mut totals) = (self.scales.chunks_mut(rows), self.totals.chunks_mut(rows));
        let blocks = self.panels.chunks_mut((panels * shape.steps() * STEP_BYTES).max(1)).enumerate();
        blocks.map(move |(index, panels)| RowBlock {
            shape,
            rows: index * rows..shape.outputs.min((index + 1) * rows),
            panels,
            scales: scales.next().unwrap_or_default(),
            totals: totals.next().unwrap_or_default(),
        })
    }

    /// The layer.
    #[must_use]
    pub fn finish(self) -> Linear {
        let LinearShape { kernels, format, outputs, inputs, .. } = self.shape;
        Linear {
            kernels,
            format,
            inputs,
            outputs,
            steps: self.shape.steps(),
            panels: self.panels.freeze(),
            bias: self.bias.freeze(),
            scales: self.scales.freeze(),
            totals: self.totals.freeze(),
        }
    }
}

fn checked(shape: LinearShape) -> Lengths {
    assert!(shape.inputs <= MAX_INPUTS, "{} inputs, at most {MAX_INPUTS} are possible", shape.inputs);
    shape.lengths()
}

impl RowBlock<'_> {
    /// Which rows of the layer these are.
    #[must_use]
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Rounds the row `row` of the layer into its column.
    ///
    /// # Panics
    /// Where it is none of these, or has not one number for each input.
    pub fn set(&mut self, row: usize, numbers: &[f32]) {
        assert!(self.rows.contains(&row), "row {row} of {:?}", self.rows);
        assert_eq!(numbers.len(), self.shape.inputs, "a row has one number for each input");
        if numbers.is_empty() {
            return;
        }
        let (steps, index) = (self.shape.steps(), row - self.rows.start);
        let place = column(steps, index);
        let column = self.panels[place..place + (steps - 1) * STEP_BYTES + 4].as_mut_ptr();
        let (table, count) = (self.shape.kernels.table, numbers.len());
        // SAFETY: the processor has the instructions; the column has the steps of a row of so many numbers.
        unsafe {
            match self.shape.format {
                Format::Float32 => (table.pack_float32)(numbers.as_ptr(), count, column),
                Format::Bfloat16 => (table.pack_bfloat16)(numbers.as_ptr(), count, column),
                Format::Int8 => {
                    (self.scales[index], self.totals[index]) =
                        (table.pack_int8)(numbers.as_ptr(), count, column);
                }
            }
        }
    }
}
