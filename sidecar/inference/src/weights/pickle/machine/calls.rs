//! What the few things that a pickle may name and call mean. Nothing is really called.

use std::rc::Rc;

use super::{Machine, MachineError};
use crate::weights::header::MAX_DIMENSIONS;
use crate::weights::pickle::value::{Global, Storage, TensorView, Value};

impl Machine<'_> {
    pub(super) fn push_global(&mut self, module: &str, name: &str) -> Result<(), MachineError> {
        let global = Global::named(module, name).ok_or_else(|| {
            // The names come from the file and end up in status texts.
            let shown: String = format!("{module}.{name}").chars().take(100).collect();
            MachineError::Global(shown.escape_debug().to_string())
        })?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    /// A persistent id stands for a storage: `("storage", type, key, location, elements)`, in the older format
    /// with one more for views of storages.
    pub(super) fn persistent(&mut self) -> Result<(), MachineError> {
        let value = self.pop()?;
        let Value::Tuple(values, _) = &value else {
            return Err(self.malformed("a persistent id that is no tuple"));
        };
        let storage = match &values[..] {
            [
                Value::Text(kind),
                Value::Global(Global::Storage(format)),
                Value::Text(key),
                _,
                elements,
                rest @ ..,
            ] if &**kind == "storage" && matches!(rest, [] | [Value::None]) => {
                elements.natural().map(|elements| Storage { key: key.to_string(), format: *format, elements })
            }
            _ => None,
        };
        let storage = storage.ok_or_else(|| self.malformed("a persistent id that is no storage"))?;
        self.stack.push(Value::Storage(Rc::new(storage)));
        Ok(())
    }

    pub(super) fn reduce(&mut self) -> Result<(), MachineError> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let Value::Tuple(arguments, _) = &arguments else {
            return Err(self.malformed("arguments that are no tuple"));
        };
        let value = match (&callable, &arguments[..]) {
            (Value::Global(Global::OrderedDict), []) => return self.push_dict(Vec::new()),
            (
                Value::Global(Global::RebuildTensor),
                [Value::Storage(storage), offset, shape, strides, _, _, ..],
            ) => match (offset.natural(), self.dimensions(shape)?, self.dimensions(strides)?) {
                (Some(offset), Some(shape), Some(strides)) => {
                    let storage = Rc::clone(storage);
                    Some(Value::Tensor(Rc::new(TensorView { storage, offset, shape, strides })))
                }
                _ => None,
            },
            (Value::Global(Global::RebuildParameter), [tensor @ Value::Tensor(_), ..]) => {
                Some(tensor.clone())
            }
            _ => None,
        };
        self.stack.push(value.ok_or_else(|| self.malformed("a call that weights do not need"))?);
        Ok(())
    }

    /// The whole numbers of a tuple, of which every tensor keeps a copy: a long one that is remembered would be copied for
    /// two bytes each time.
    fn dimensions(&self, value: &Value) -> Result<Option<Vec<u64>>, MachineError> {
        match value {
            Value::Tuple(values, _) if values.len() > MAX_DIMENSIONS => {
                Err(MachineError::Limit("dimensions"))
            }
            value => Ok(value.naturals()),
        }
    }

    /// `torch.save` hangs the versions of modules on a state dictionary as an attribute: left out.
    pub(super) fn build(&mut self) -> Result<(), MachineError> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err(self.malformed("attributes for what is no dictionary")),
        }
    }
}
