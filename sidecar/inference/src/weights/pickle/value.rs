//! What a pickle of weights can hold.

use std::rc::Rc;

use crate::weights::NumberFormat;

/// The callables and types that a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(NumberFormat),
}

impl Global {
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "DoubleStorage") => Self::Storage(NumberFormat::F64),
            ("torch", "FloatStorage") => Self::Storage(NumberFormat::F32),
            ("torch", "HalfStorage") => Self::Storage(NumberFormat::F16),
            ("torch", "BFloat16Storage") => Self::Storage(NumberFormat::Bf16),
            ("torch", "LongStorage") => Self::Storage(NumberFormat::I64),
            ("torch", "IntStorage") => Self::Storage(NumberFormat::I32),
            ("torch", "ShortStorage") => Self::Storage(NumberFormat::I16),
            ("torch", "CharStorage") => Self::Storage(NumberFormat::I8),
            ("torch", "ByteStorage") => Self::Storage(NumberFormat::U8),
            ("torch", "BoolStorage") => Self::Storage(NumberFormat::Bool),
            _ => return None,
        })
    }
}

/// A run of numbers in the archive, that tensors are views of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) format: NumberFormat,
    pub(super) elements: u64,
}

/// A view of a storage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TensorView {
    pub(super) storage: Rc<Storage>,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// A value. Lists and dictionaries are numbers of places in the machine, so that every copy of one is the same
/// one and nothing nests but tuples, whose depth is bounded.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Mark,
    None,
    Bool,
    Integer(i64),
    LargeInteger(Rc<[u8]>),
    Float,
    Text(Rc<str>),
    Tuple(Rc<Vec<Value>>, usize),
    List(usize),
    Dict(usize),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<TensorView>),
}

impl Value {
    pub(super) fn depth(&self) -> usize {
        if let Self::Tuple(_, depth) = self { *depth } else { 0 }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        if let Self::Integer(value) = self { Some(*value) } else { None }
    }

    pub(super) fn natural(&self) -> Option<u64> {
        self.integer().and_then(|value| u64::try_from(value).ok())
    }

    pub(super) fn naturals(&self) -> Option<Vec<u64>> {
        if let Self::Tuple(values, _) = self { values.iter().map(Self::natural).collect() } else { None }
    }
}
