//! The functions between two linear layers.

/// What is applied to each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x times the normal distribution function of x, exactly (Hendrycks and Gimpel, 2016; `gelu` in transformers).
    Gelu,
    /// x over 1 + e to the power of -x (`swish` and `silu` in transformers).
    Silu,
    /// The greater of x and 0.
    Relu,
}
