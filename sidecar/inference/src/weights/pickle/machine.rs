//! A pickle machine that builds data and calls nothing.
//!
//! A pickle is a program for a stack machine (CPython's `Lib/pickletools.py` defines every opcode). This one
//! knows the opcodes that `torch.save` writes for dictionaries of tensors. The "globals" that a pickle may name
//! are a fixed list with a fixed meaning each; any other ends the run, as does any opcode that could do more
//! than build data. Everything is bounded: steps, memo, stack, nesting.

use std::rc::Rc;

use super::reader::{Reader, Truncated};
use super::value::{Global, Storage, TensorView, Value};

/// The most opcodes of one pickle; the largest models need some ten thousand.
const MAX_STEPS: usize = 4_000_000;
/// The most remembered values.
const MAX_MEMO: usize = 1_000_000;
/// The most values on the stack.
const MAX_STACK: usize = 1_000_000;
/// The deepest nesting of tuples.
const MAX_DEPTH: usize = 32;

/// Why a pickle was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum MachineError {
    #[error("it names {0}, which weights do not need")]
    Global(String),
    #[error("its opcode {opcode:#04x} at byte {at} is not one that weights need")]
    Opcode { opcode: u8, at: usize },
    #[error("it exceeds the limit of {0}")]
    Limit(&'static str),
    #[error(transparent)]
    Truncated(#[from] Truncated),
    #[error("its opcode {opcode:#04x} at byte {at} finds {problem}")]
    Malformed { opcode: u8, at: usize, problem: &'static str },
}

/// One run over one pickle.
pub(super) struct Machine<'a> {
    reader: Reader<'a>,
    stack: Vec<Value>,
    memo: Vec<Option<Value>>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    opcode: (u8, usize),
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
            stack: Vec::new(),
            memo: Vec::new(),
            lists: Vec::new(),
            dicts: Vec::new(),
            opcode: (0, 0),
        }
    }

    /// Runs one pickle to its end.
    pub(super) fn run(&mut self) -> Result<Value, MachineError> {
        self.stack.clear();
        self.memo.clear();
        for _ in 0..MAX_STEPS {
            let at = self.reader.position();
            let opcode = self.reader.byte()?;
            self.opcode = (opcode, at);
            if opcode == b'.' {
                return self.pop();
            }
            self.execute(opcode)?;
            if self.stack.len() > MAX_STACK {
                return Err(MachineError::Limit("stack"));
            }
        }
        Err(MachineError::Limit("steps"))
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> usize {
        self.reader.position()
    }

    pub(super) fn list(&self, place: usize) -> &[Value] {
        self.lists.get(place).map_or(&[], Vec::as_slice)
    }

    pub(super) fn dict(&self, place: usize) -> &[(Value, Value)] {
        self.dicts.get(place).map_or(&[], Vec::as_slice)
    }

    fn execute(&mut self, opcode: u8) -> Result<(), MachineError> {
        match opcode {
            0x80 => drop(self.reader.byte()?),           // PROTO
            0x95 => drop(self.reader.take(8)?),          // FRAME
            b'(' => self.stack.push(Value::Mark),        // MARK
            b'0' => drop(self.pop()?),                   // POP
            b'1' => drop(self.pop_to_mark()?),           // POP_MARK
            b'2' => self.duplicate()?,                   // DUP
            b'N' => self.stack.push(Value::None),        // NONE
            0x88 | 0x89 => self.stack.push(Value::Bool), // NEWTRUE, NEWFALSE
            b'J' => {
                let value = i32::from_le_bytes(self.reader.array()?); // BININT
                self.stack.push(Value::Integer(value.into()));
            }
            b'K' => {
                let value = self.reader.byte()?; // BININT1
                self.stack.push(Value::Integer(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.reader.array()?); // BININT2
                self.stack.push(Value::Integer(value.into()));
            }
            0x8a => self.long()?, // LONG1
            b'G' => {
                self.reader.take(8)?; // BINFLOAT
                self.stack.push(Value::Float);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.reader.array()?) as usize; // BINUNICODE
                self.text(length)?;
            }
            b'T' => {
                let length = u32::from_le_bytes(self.reader.array()?) as usize; // BINSTRING
                self.text(length)?;
            }
            0x8c | b'U' => {
                let length = self.reader.byte()? as usize; // SHORT_BINUNICODE, SHORT_BINSTRING
                self.text(length)?;
            }
            b')' => self.push_tuple(Vec::new())?, // EMPTY_TUPLE
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84); // TUPLE1, TUPLE2, TUPLE3
                let values = self.pop_many(count)?;
                self.push_tuple(values)?;
            }
            b't' => {
                let values = self.pop_to_mark()?; // TUPLE
                self.push_tuple(values)?;
            }
            b']' => self.push_list(Vec::new()), // EMPTY_LIST
            b'l' => {
                let values = self.pop_to_mark()?; // LIST
                self.push_list(values);
            }
            b'a' => {
                let value = self.pop()?; // APPEND
                self.extend_list(vec![value])?;
            }
            b'e' => {
                let values = self.pop_to_mark()?; // APPENDS
                self.extend_list(values)?;
            }
            b'}' => self.push_dict(Vec::new())?, // EMPTY_DICT
            b'd' => {
                let values = self.pop_to_mark()?; // DICT
                self.push_dict(values)?;
            }
            b's' => {
                let values = self.pop_many(2)?; // SETITEM
                self.extend_dict(values)?;
            }
            b'u' => {
                let values = self.pop_to_mark()?; // SETITEMS
                self.extend_dict(values)?;
            }
            b'q' => {
                let place = self.reader.byte()? as usize; // BINPUT
                self.remember(place)?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.reader.array()?) as usize; // LONG_BINPUT
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len())?, // MEMOIZE
            b'h' => {
                let place = self.reader.byte()? as usize; // BINGET
                self.recall(place)?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.reader.array()?) as usize; // LONG_BINGET
                self.recall(place)?;
            }
            b'c' => {
                let module = self.reader.line()?; // GLOBAL
                let name = self.reader.line()?;
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let values = self.pop_many(2)?; // STACK_GLOBAL
                let [Value::Text(module), Value::Text(name)] = &values[..] else {
                    return Err(self.malformed("names that are not text"));
                };
                self.push_global(module, name)?;
            }
            b'Q' => self.persistent()?, // BINPERSID
            b'R' => self.reduce()?,     // REDUCE
            b'b' => self.build()?,      // BUILD
            _ => return Err(MachineError::Opcode { opcode, at: self.opcode.1 }),
        }
        Ok(())
    }

    fn malformed(&self, problem: &'static str) -> MachineError {
        MachineError::Malformed { opcode: self.opcode.0, at: self.opcode.1, problem }
    }

    fn text(&mut self, length: usize) -> Result<(), MachineError> {
        let bytes = self.reader.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("text that is not UTF-8"))?;
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn long(&mut self) -> Result<(), MachineError> {
        let length = self.reader.byte()? as usize;
        let bytes = self.reader.take(length)?;
        let value = if length <= 8 {
            let sign = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
            let mut whole = [sign; 8];
            whole[..length].copy_from_slice(bytes);
            Value::Integer(i64::from_le_bytes(whole))
        } else {
            Value::LargeInteger(bytes.into())
        };
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, MachineError> {
        match self.stack.pop() {
            Some(Value::Mark) => Err(self.malformed("a mark instead of a value")),
            Some(value) => Ok(value),
            None => Err(self.malformed("an empty stack")),
        }
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, MachineError> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, MachineError> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark));
        let mark = mark.ok_or_else(|| self.malformed("no mark"))?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn duplicate(&mut self) -> Result<(), MachineError> {
        let value = self.pop()?;
        self.stack.extend([value.clone(), value]);
        Ok(())
    }

    fn push_tuple(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
        let depth = 1 + values.iter().map(Value::depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(MachineError::Limit("nesting"));
        }
        self.stack.push(Value::Tuple(Rc::new(values), depth));
        Ok(())
    }

    fn push_list(&mut self, values: Vec<Value>) {
        self.lists.push(values);
        self.stack.push(Value::List(self.lists.len() - 1));
    }

    fn push_dict(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
        self.extend_dict(values)
    }

    fn extend_list(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
        match self.stack.last() {
            Some(Value::List(place)) => self.lists[*place].extend(values),
            _ => return Err(self.malformed("no list to append to")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, values: Vec<Value>) -> Result<(), MachineError> {
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

    fn remember(&mut self, place: usize) -> Result<(), MachineError> {
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

    fn recall(&mut self, place: usize) -> Result<(), MachineError> {
        let value = self.memo.get(place).cloned().flatten();
        self.stack.push(value.ok_or_else(|| self.malformed("nothing remembered"))?);
        Ok(())
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), MachineError> {
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
    fn persistent(&mut self) -> Result<(), MachineError> {
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

    fn reduce(&mut self) -> Result<(), MachineError> {
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
            ) => match (offset.natural(), shape.naturals(), strides.naturals()) {
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

    /// `torch.save` hangs the versions of modules on a state dictionary as an attribute: left out.
    fn build(&mut self) -> Result<(), MachineError> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err(self.malformed("attributes for what is no dictionary")),
        }
    }
}
