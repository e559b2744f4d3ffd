//! What the decoder reads before its own first token.

/// The tokens before a window's text: earlier text, then language, task and timestamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prompt {
    /// All of them.
    pub(super) tokens: Vec<u32>,
    /// Where the start token stands: the probability of "no speech" is read there.
    pub(super) start_at: usize,
}

/// Puts at most `room` tokens of `earlier` text behind the `previous` token, before the `initial` tokens.
#[must_use]
pub(super) fn assemble(previous: Option<u32>, earlier: &[u32], room: usize, initial: &[u32]) -> Prompt {
    let mut tokens = Vec::new();
    if !earlier.is_empty() {
        tokens.extend(previous);
        tokens.extend_from_slice(&earlier[earlier.len().saturating_sub(room)..]);
    }
    let start_at = tokens.len();
    tokens.extend_from_slice(initial);
    Prompt { tokens, start_at }
}

/// A segment's tokens as the next window may read them: of two closing timestamps one.
#[must_use]
pub(super) fn as_earlier_text(segment: &[u32], first_timestamp: u32) -> &[u32] {
    match segment {
        [rest @ .., before, _] if !rest.is_empty() && *before >= first_timestamp => {
            &segment[..segment.len() - 1]
        }
        _ => segment,
    }
}

/// Most tokens of earlier text: half of the positions, one of them for the token before it.
#[must_use]
pub(super) fn room(max_target_positions: usize) -> usize {
    max_target_positions / 2 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_text_is_cut_from_the_left() {
        let prompt = assemble(Some(90), &[1, 2, 3, 4], 3, &[80, 81]);
        assert_eq!(prompt, Prompt { tokens: vec![90, 2, 3, 4, 80, 81], start_at: 4 });
        assert_eq!(assemble(Some(90), &[], 3, &[80]), Prompt { tokens: vec![80], start_at: 0 });
    }

    #[test]
    fn one_of_two_closing_timestamps_is_left_out() {
        assert_eq!(as_earlier_text(&[50, 1, 55, 55], 50), [50, 1, 55]);
        assert_eq!(as_earlier_text(&[50, 1, 55], 50), [50, 1, 55]);
        assert_eq!(as_earlier_text(&[50, 51], 50), [50, 51]);
    }
}
