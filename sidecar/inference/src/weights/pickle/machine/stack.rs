//! The machine's stack, the containers on it, and its memo.

use std::rc::Rc;

use super::{Machine, MachineError};
use crate::weights::pickle::value::Value;

/// The most remembered values.
const MAX_MEMO: usize = 1_000_000;
/// The deepest nesting of tuples.
const MAX_DEPTH: usize = 32;

impl Machine<'_> {
    pub(super) fn pop(&mut self) -> Result<Value, MachineError> {
        match self.stack.pop() {
            Some(Value::Mark) => Err(self.malformed("a mark instead of a value")),
            Some(value) => Ok(value),
            None => Err(self.malformed("an empty stack")),
        }
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, MachineError> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Value>, MachineError> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark));
        let mark = mark.ok_or_else(|| self.malformed("no mark"))?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    pub(super) fn duplicate(&mut self) -> Result<(), MachineError> {
        let value = self.pop()?;
        self.stack.extend([value.clone(), value]);
        Ok(())
    }

    pub(super) fn push_tuple(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
        let depth = 1 + values.iter().map(Value::depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(MachineError::Limit("nesting"));
        }
        self.stack.push(Value::Tuple(Rc::new(values), depth));
        Ok(())
    }

    pub(super) fn push_list(&mut self, values: Vec<Value>) {
        self.lists.push(values);
        self.stack.push(Value::List(self.lists.len() - 1));
    }

    pub(super) fn push_dict(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
        self.extend_dict(values)
    }

    pub(super) fn extend_list(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
        match self.stack.last() {
            Some(Value::List(place)) => self.lists[*place].extend(values),
            _ => return Err(self.malformed("no list to append to")),
        }
        Ok(())
    }

    pub(super) fn extend_dict(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
        let Some(Value::Dict(place)) = self.stack.last() else {
            return Err(self.malformed("no dictionary to set in"));
        };
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.malformed("a key without a value"));
        }
        self.dicts[*place].extend(pairs.iter().map(|[key, value]| (key.clone(), value.clone())));
        Ok(())
    }

    pub(super) fn remember(&mut self, place: usize) -> Result<(), MachineError> {
        if place >= MAX_MEMO {
            return Err(MachineError::Limit("memo"));
        }
        let value = self.stack.last().cloned().ok_or_else(|| self.malformed("an empty stack"))?;
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(value);
        Ok(())
    }

    pub(super) fn recall(&mut self, place: usize) -> Result<(), MachineError> {
        let value = self.memo.get(place).cloned().flatten();
        self.stack.push(value.ok_or_else(|| self.malformed("nothing remembered"))?);
        Ok(())
    }
}
