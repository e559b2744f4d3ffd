//! Inputs made of others: bits, bytes, numbers, pieces and lengths changed, a few at a time.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Numbers at whose neighbours sums, products and signs go wrong.
const NUMBERS: [u64; 18] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fff8,
    0xffff_ffff_ffff_ffff,
];
/// The most changes of one input.
const MAX_CHANGES: u32 = 8;
/// The longest stretch that is taken out, put in or repeated.
const MAX_STRETCH: usize = 64;
/// The most repetitions of a stretch: enough to pass limits of depth.
const MAX_REPETITIONS: usize = 400;
/// Formats decide most within so many bytes.
const FRONT: usize = 96;

/// Makes inputs, always the same ones from the same number.
pub(crate) struct Mutator {
    chance: StdRng,
    tokens: &'static [&'static [u8]],
    longest: usize,
}

impl Mutator {
    pub(crate) fn new(seed: u64, tokens: &'static [&'static [u8]], longest: usize) -> Self {
        Self { chance: StdRng::seed_from_u64(seed), tokens, longest }
    }

    /// Whether something happens that has so many chances of 100.
    pub(crate) fn happens(&mut self, percent: u32) -> bool {
        self.chance.random_ratio(percent, 100)
    }

    /// An input made of one or two of some others.
    pub(crate) fn input(&mut self, others: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(others).cloned().unwrap_or_default();
        for _ in 0..self.chance.random_range(1..=MAX_CHANGES) {
            self.change(&mut bytes, others);
        }
        bytes.truncate(self.longest);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        match self.chance.random_range(0..10) {
            0 => self.with_byte(bytes, |byte, chance| byte ^ (1_u8 << chance.random_range(0..8_u32))),
            1 => self.with_byte(bytes, |_, chance| chance.random()),
            2 => self.write_number(bytes),
            3 => self.write_digits(bytes),
            4 => {
                let stretch = self.stretch(bytes.len());
                drop(bytes.drain(stretch));
            }
            5 => {
                let stretch = bytes[self.stretch(bytes.len())].to_vec();
                let count = if self.happens(10) { self.chance.random_range(1..=MAX_REPETITIONS) } else { 1 };
                self.insert(bytes, &stretch.repeat(count));
            }
            6 => bytes.truncate(self.place(bytes.len())),
            7 => {
                // What is behind a place comes from another input.
                let other = self.one_of(others).cloned().unwrap_or_default();
                let (place, from) = (self.place(bytes.len()), self.place(other.len()));
                bytes.truncate(place);
                bytes.extend(&other[from..]);
            }
            _ => {
                let token = self.one_of(self.tokens).copied().unwrap_or(&[0]);
                let place = self.place(bytes.len());
                if self.happens(50) && place + token.len() <= bytes.len() {
                    bytes[place..place + token.len()].copy_from_slice(token);
                } else {
                    self.insert(bytes, token);
                }
            }
        }
    }

    fn with_byte(&mut self, bytes: &mut [u8], change: impl Fn(u8, &mut StdRng) -> u8) {
        let place = self.place(bytes.len());
        if let Some(byte) = bytes.get_mut(place) {
            *byte = change(*byte, &mut self.chance);
        }
    }

    /// Writes a number of one to eight bytes in either order.
    fn write_number(&mut self, bytes: &mut [u8]) {
        let number = self.number();
        let width = 1_usize << self.chance.random_range(0..4_u32);
        let place = self.place(bytes.len());
        let Some(room) = bytes.get_mut(place..place + width) else { return };
        match self.happens(50) {
            true => room.copy_from_slice(&number.to_le_bytes()[..width]),
            false => room.copy_from_slice(&number.to_be_bytes()[8 - width..]),
        }
    }

    /// Writes a number in digits in the place of one.
    fn write_digits(&mut self, bytes: &mut Vec<u8>) {
        let from = self.place(bytes.len());
        let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
        let start = from + start;
        let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit());
        let end = end.map_or(bytes.len(), |length| start + length);
        let sign = if self.happens(10) { "-" } else { "" };
        let digits = format!("{sign}{}", self.number());
        bytes.splice(start..end, digits.bytes());
    }

    /// One of the numbers, or a neighbour of it.
    fn number(&mut self) -> u64 {
        let number = self.one_of(&NUMBERS).copied().unwrap_or_default();
        if self.happens(50) {
            number
        } else {
            number.wrapping_add(self.chance.random_range(0..5)).wrapping_sub(2)
        }
    }

    fn insert(&mut self, bytes: &mut Vec<u8>, piece: &[u8]) {
        let place = self.place(bytes.len());
        bytes.splice(place..place, piece.iter().copied());
    }

    /// A place up to the end, every third time near the front.
    fn place(&mut self, length: usize) -> usize {
        let reach = if self.happens(33) { length.min(FRONT) } else { length };
        self.chance.random_range(0..=reach)
    }

    fn stretch(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.place(length);
        let most = MAX_STRETCH.min(length - start);
        start..start + self.chance.random_range(0..=most)
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        match choices.len() {
            0 => None,
            count => choices.get(self.chance.random_range(0..count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(seed, &[b"token"], 100);
        let others = [b"{\"a\": 1234}".to_vec(), Vec::new(), vec![7; 200]];
        (0..2_000).map(|_| mutator.input(&others)).collect()
    }

    #[test]
    fn the_same_number_gives_the_same_inputs_and_another_one_others() {
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn inputs_differ_and_are_not_too_long() {
        let inputs = inputs(3);
        assert!(inputs.iter().all(|input| input.len() <= 100));
        let different: std::collections::BTreeSet<_> = inputs.iter().collect();
        assert!(different.len() > 1_000, "{}", different.len());
        assert!(inputs.iter().any(|input| input.windows(5).any(|part| part == b"token")));
        let has_digits =
            |digits: &[u8]| inputs.iter().any(|input| input.windows(digits.len()).any(|part| part == digits));
        assert!(has_digits(b"18446744073709551615") && has_digits(&[0xff; 8]));
    }

    #[test]
    fn nothing_is_enough_to_begin_with() {
        let mut mutator = Mutator::new(1, &[], 100);
        assert!((0..200).all(|_| mutator.input(&[]).len() <= 100));
    }
}
