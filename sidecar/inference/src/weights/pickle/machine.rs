//! A pickle machine that builds data and calls nothing.
//!
//! A pickle is a program for a stack machine (CPython's `Lib/pickletools.py` defines every opcode). This one
//! knows the opcodes that `torch.save` writes for dictionaries of tensors. The "globals" that a pickle may name
//! are a fixed list with a fixed meaning each; any other ends the run, as does any opcode that could do more
//! than build data. Everything is bounded: steps, memo, stack, nesting.

mod calls;
mod stack;

use super::reader::{Reader, Truncated};
use super::value::Value;

/// The most opcodes of one pickle; the largest models need some ten thousand.
const MAX_STEPS: usize = 4_000_000;
/// The most values on the stack.
const MAX_STACK: usize = 1_000_000;

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
}
