//! The table of replaced characters that a tokenizer may hold (`precompiled_charsmap` of sentencepiece), as far as it says
//! how much longer it makes texts.
//!
//! It is 4 bytes of length, little-endian; a trie of that length, which says where the replacement of some characters
//! begins; and the replacements, each ended by a zero byte.

/// The longest replacement that is taken, in bytes. The longest of Unicode's own forms, of U+FDFA, has 33.
const MAX_REPLACEMENT: usize = 256;

/// The length of the longest replacement in a table, in bytes; 1 where there is none.
///
/// # Errors
/// Where it is no table, or a replacement is so long that a text of many would not fit into memory.
pub(crate) fn longest_replacement(table: &[u8]) -> Result<usize, String> {
    if table.is_empty() {
        return Ok(1);
    }
    let replacements = table.split_first_chunk().and_then(|(length, rest)| {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        rest.get(length..)
    });
    let replacements = replacements.ok_or("its table of replaced characters ends too early")?;
    let longest = replacements.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or_default().max(1);
    if longest > MAX_REPLACEMENT {
        return Err(format!(
            "it replaces a character by {longest} bytes, at most {MAX_REPLACEMENT} are taken"
        ));
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(trie: &[u8], replacements: &[u8]) -> Vec<u8> {
        [&(trie.len() as u32).to_le_bytes(), trie, replacements].concat()
    }

    #[test]
    fn the_longest_replacement_is_found_and_bounded() {
        assert_eq!(longest_replacement(&[]), Ok(1));
        assert_eq!(longest_replacement(&table(&[9; 8], b"a\0bcd\0ef\0")), Ok(3));
        assert_eq!(longest_replacement(&table(&[9; 8], b"")), Ok(1));
        let most = [&[7; MAX_REPLACEMENT][..], &[0]].concat();
        assert_eq!(longest_replacement(&table(&[], &most)), Ok(MAX_REPLACEMENT));
        assert!(
            longest_replacement(&table(&[], &[7; MAX_REPLACEMENT + 1])).unwrap_err().contains("257 bytes")
        );
        for cut in [&[1][..], &[9, 0, 0, 0, 1], &[0xff; 7]] {
            assert!(longest_replacement(cut).unwrap_err().contains("too early"), "{cut:?}");
        }
    }
}
