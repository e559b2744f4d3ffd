//! Transcripts as subtitles: `SubRip` and `WebVTT`.

use std::fmt::Write as _;

use ostler_inference::engine::Segment;

/// The segments as `SubRip` (`.srt`): numbered cues, a comma before the milliseconds.
pub(super) fn srt(segments: &[Segment]) -> String {
    let mut text = String::new();
    for (index, segment) in segments.iter().enumerate() {
        let (start, end) = (clock(segment.start, ','), clock(segment.end, ','));
        let _ = write!(text, "{}\n{start} --> {end}\n{}\n\n", index + 1, cue(&segment.text));
    }
    text
}

/// The segments as `WebVTT`: <https://www.w3.org/TR/webvtt1/>.
pub(super) fn vtt(segments: &[Segment]) -> String {
    let mut text = "WEBVTT\n\n".to_owned();
    for segment in segments {
        let (start, end) = (clock(segment.start, '.'), clock(segment.end, '.'));
        let _ = write!(text, "{start} --> {end}\n{}\n\n", cue(&segment.text));
    }
    text
}

/// One cue's text. An arrow would be read as a time line, and a blank line would end the cue.
fn cue(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n").replace("-->", "->")
}

/// `HH:MM:SS` and milliseconds after the given mark.
fn clock(seconds: f64, mark: char) -> String {
    // Casting saturates, so a negative or not finite time shows as zero and never as nonsense.
    let milliseconds = (seconds * 1000.0).round() as u64;
    let (hours, minutes) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60);
    let (seconds, milliseconds) = (milliseconds / 1000 % 60, milliseconds % 1000);
    format!("{hours:02}:{minutes:02}:{seconds:02}{mark}{milliseconds:03}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixtures::segment;

    #[test]
    fn clocks_round_to_milliseconds_and_carry() {
        for (seconds, expected) in [
            (0.0, "00:00:00.000"),
            (1.2345, "00:00:01.235"),
            (59.9996, "00:01:00.000"),
            (3_661.5, "01:01:01.500"),
            (360_000.0, "100:00:00.000"),
            (-1.0, "00:00:00.000"),
            (f64::NAN, "00:00:00.000"),
        ] {
            assert_eq!(clock(seconds, '.'), expected, "{seconds}");
        }
    }

    #[test]
    fn both_formats_hold_every_segment_and_no_false_arrow() {
        let segments = [segment(0, 0.0, 1.5, " Hallo."), segment(1, 1.5, 3.02, " a --> b\n\nc")];
        let expected =
            "1\n00:00:00,000 --> 00:00:01,500\nHallo.\n\n2\n00:00:01,500 --> 00:00:03,020\na -> b\nc\n\n";
        assert_eq!(srt(&segments), expected);
        let expected =
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHallo.\n\n00:00:01.500 --> 00:00:03.020\na -> b\nc\n\n";
        assert_eq!(vtt(&segments), expected);
    }

    #[test]
    fn silence_gives_an_empty_list_of_cues() {
        assert_eq!(srt(&[]), "");
        assert_eq!(vtt(&[]), "WEBVTT\n\n");
    }
}
