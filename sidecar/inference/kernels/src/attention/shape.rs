//! How keys and values lie in panels.

use crate::format::Format;
use crate::product::{PANEL, STEP_BYTES};

/// Rows that a query or its weights become where keys and values are bytes.
pub(super) const PAIR: usize = 2;

/// What keys and values are of, and how many there can be.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) heads: usize,
    /// Numbers of a head.
    pub(super) width: usize,
    pub(super) capacity: usize,
}

impl Shape {
    /// Keys in whole panels.
    pub(super) fn padded(&self) -> usize {
        self.capacity.next_multiple_of(PANEL)
    }

    /// Numbers of a head in whole panels.
    pub(super) fn padded_width(&self) -> usize {
        self.width.next_multiple_of(PANEL)
    }

    /// Steps of a panel of keys: each key is a column of it.
    pub(super) fn key_steps(&self) -> usize {
        self.format.steps(self.width)
    }

    /// Steps of a panel of values: each number of the head is a column of it.
    pub(super) fn value_steps(&self) -> usize {
        self.padded() / self.format.numbers_a_step()
    }

    /// Bytes of a head's keys.
    pub(super) fn key_bytes(&self) -> usize {
        self.padded() / PANEL * self.key_steps() * STEP_BYTES
    }

    /// Bytes of a head's values.
    pub(super) fn value_bytes(&self) -> usize {
        self.padded_width() / PANEL * self.value_steps() * STEP_BYTES
    }
}
