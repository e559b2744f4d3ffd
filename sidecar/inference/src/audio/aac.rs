//! Which kind of AAC a stream is, read from its AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2).
//!
//! Only AAC-LC is decoded. HE-AAC carries a core at half the rate, from which a decoder that knows LC alone would
//! give dull sound at the wrong rate without a word, so its kinds are told apart by name.

/// The name of the kind of AAC that the config announces; `None` for plain AAC-LC.
pub(super) fn unsupported_kind(config: &[u8]) -> Option<&'static str> {
    let mut bits = Bits { bytes: config, at: 0 };
    let kind = name(object_type(&mut bits)?);
    if kind.is_some() {
        return kind;
    }
    // After LC's own config a second one may announce that HE-AAC follows in the same frames.
    if bits.take(4)? == 15 {
        bits.take(24)?;
    }
    if bits.take(4)? > 2 {
        return Some("AAC of more than two channels");
    }
    bits.take(3)?;
    let announces_extension = bits.take(11)? == 0x2b7;
    let extension = object_type(&mut bits)?;
    (announces_extension && bits.take(1)? == 1).then(|| name(extension)).flatten()
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(5)? {
        31 => Some(32 + bits.take(6)?),
        short => Some(short),
    }
}

/// Object types of ISO/IEC 14496-3, table 1.17.
fn name(object_type: u32) -> Option<&'static str> {
    match object_type {
        2 => None,
        1 => Some("AAC Main"),
        3 => Some("AAC SSR"),
        4 => Some("AAC LTP"),
        5 => Some("HE-AAC"),
        29 => Some("HE-AAC v2"),
        23 => Some("AAC-LD"),
        39 => Some("AAC-ELD"),
        42 => Some("xHE-AAC"),
        _ => Some("an unknown kind of AAC"),
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_told_apart() {
        for (config, kind) in [
            // LC at 44.1 kHz, stereo, as ffmpeg writes it.
            (&[0x12, 0x10][..], None),
            // LC at 16 kHz, mono, saying that no HE-AAC follows.
            (&[0x14, 0x08, 0x56, 0xe5, 0x00], None),
            // The same, saying that it does.
            (&[0x14, 0x08, 0x56, 0xe5, 0xa0], Some("HE-AAC")),
            (&[0x2b, 0x92, 0x08, 0x00], Some("HE-AAC")),
            (&[0xeb, 0x8a, 0x08, 0x00], Some("HE-AAC v2")),
            (&[0xf8, 0xe8, 0x50, 0x00], Some("AAC-ELD")),
            (&[0x12, 0x30], Some("AAC of more than two channels")),
            (&[], None),
        ] {
            assert_eq!(unsupported_kind(config), kind, "{config:02x?}");
        }
    }
}
