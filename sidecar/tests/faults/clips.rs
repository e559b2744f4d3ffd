//! Audio files that are made here: small ones that unpack to hours, broken ones, long ones of speech.

use std::path::Path;

use reqwest::multipart::{Form, Part};

/// A WAV file; format 1 is whole numbers, 3 floats.
pub(crate) fn wav(format: u16, bits: u16, sample_rate: u32, data: &[u8]) -> Vec<u8> {
    let block = bits / 8;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(format.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(sample_rate.to_le_bytes());
    bytes.extend(sample_rate.wrapping_mul(u32::from(block)).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// The shipped clips one after the other and over again, for so many seconds.
pub(crate) fn speech(seconds: usize) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/audio");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wav"));
    files.sort();
    // 16-bit samples at 16 kHz behind a header of 44 bytes.
    let samples: Vec<u8> = files.iter().flat_map(|path| std::fs::read(path).unwrap().split_off(44)).collect();
    let data: Vec<u8> = samples.iter().copied().cycle().take(seconds * 32_000).collect();
    wav(1, 16, 16_000, &data)
}

/// A remainder of polynomial division, most significant bit first, as FLAC and Ogg have it.
fn remainder(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
    let top = 1_u32 << (bits - 1);
    bytes.iter().fold(0_u32, |mut remainder, byte| {
        remainder ^= u32::from(*byte) << (bits - 8);
        for _ in 0..8 {
            let carry = remainder & top != 0;
            remainder <<= 1;
            if carry {
                remainder ^= polynomial;
            }
        }
        // What is shifted out of fewer than 32 bits is none of it.
        if bits == 32 { remainder } else { remainder & ((1 << bits) - 1) }
    })
}

/// Samples of a channel in one frame of a bomb.
const BLOCK: u32 = 32_768;

/// A FLAC file of constant samples (RFC 9639): a dozen bytes a frame, whatever the frame unpacks to. There are fewer
/// than 55,296 frames, whose numbers are then written as characters are.
pub(crate) fn flac_bomb(sample_rate: u32, channels: u8, frames: u32) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\x00\x00\x22".to_vec();
    bytes.extend((BLOCK as u16).to_be_bytes());
    bytes.extend((BLOCK as u16).to_be_bytes());
    bytes.extend([0; 6]);
    let packed = u64::from(sample_rate) << 44 | u64::from(channels - 1) << 41 | 15 << 36;
    // The number of samples stays 0, which means that it is unknown, and so does the digest.
    bytes.extend(packed.to_be_bytes());
    bytes.extend([0; 16]);
    for number in 0..frames {
        // 32,768 samples, the rate that the head of the file says, 16 bits.
        let mut frame = vec![0xff, 0xf8, 0xf0, (channels - 1) << 4 | 0x08];
        let number = char::from_u32(number).unwrap();
        frame.extend(number.encode_utf8(&mut [0; 4]).bytes());
        frame.push(remainder(&frame, 8, 0x07) as u8);
        for _ in 0..channels {
            frame.extend([0, 0, 1]);
        }
        let check = remainder(&frame, 16, 0x8005) as u16;
        frame.extend(check.to_be_bytes());
        bytes.extend(frame);
    }
    bytes
}

/// A packet of Opus of 120 ms that says nothing: two frames of 60 ms without a byte (RFC 6716, 3.2.5).
const SILENCE: [u8; 2] = [0x1b, 2];
/// Its samples at 48 kHz.
const SILENCE_SAMPLES: u64 = 5_760;
/// As many packets as a page has places for.
const PACKETS: u64 = 255;

/// An Ogg file with Opus in which three bytes are 120 ms (RFC 3533 and RFC 7845).
pub(crate) fn opus_bomb(pages: u64) -> Vec<u8> {
    let head = b"OpusHead\x01\x01\x00\x00\x80\xbb\x00\x00\x00\x00\x00";
    let tags = b"OpusTags\x00\x00\x00\x00\x00\x00\x00\x00";
    let mut bytes = [page(2, 0, 0, &[head]), page(0, 0, 1, &[tags])].concat();
    for number in 0..pages {
        let samples = (number + 1) * PACKETS * SILENCE_SAMPLES;
        let flags = if number + 1 == pages { 4 } else { 0 };
        let packets = vec![&SILENCE[..]; PACKETS as usize];
        bytes.extend(page(flags, samples, 2 + number as u32, &packets));
    }
    bytes
}

/// Seconds that so many pages unpack to.
pub(crate) fn opus_seconds(pages: u64) -> u64 {
    pages * PACKETS * SILENCE_SAMPLES / 48_000
}

fn page(flags: u8, position: u64, number: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut page = vec![b'O', b'g', b'g', b'S', 0, flags];
    page.extend(position.to_le_bytes());
    page.extend(7_u32.to_le_bytes());
    page.extend(number.to_le_bytes());
    page.extend([0; 4]);
    page.push(packets.len() as u8);
    page.extend(packets.iter().map(|packet| packet.len() as u8));
    page.extend(packets.concat());
    let check = remainder(&page, 32, 0x04c1_1db7);
    page[22..26].copy_from_slice(&check.to_le_bytes());
    page
}

/// The form of a transcription.
pub(crate) fn form(model: &str, clip: Vec<u8>) -> Form {
    Form::new().text("model", model.to_owned()).part("file", Part::bytes(clip).file_name("clip"))
}
