use proptest::prelude::*;

use super::*;

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    std::iter::once(&("model", "whisper")).chain(pairs).map(own).collect()
}

fn read(pairs: &[(&str, &str)]) -> Result<SpeechRequest, ApiError> {
    parse(Endpoint::Transcriptions, &fields(pairs))
}

#[test]
fn a_bare_request_has_the_documented_defaults() {
    let request = read(&[]).unwrap();
    assert_eq!(request.model, "whisper");
    assert_eq!(request.format, ResponseFormat::Json);
    let expected = SpeechOptions {
        language: None,
        translate: false,
        timestamps: true,
        prompt: None,
        condition_on_previous_text: false,
        beams: None,
        temperature: Temperature::Ladder,
        words: false,
        best_of: 1,
        long_form: None,
    };
    assert_eq!(request.options, expected);
}

#[test]
fn every_field_reaches_the_job() {
    let request = read(&[
        ("user", "speaker-7"),
        ("language", "German"),
        ("prompt", "Zahlen."),
        ("response_format", "verbose_json"),
        ("temperature", "0.4"),
        ("timestamp_granularities[]", "segment"),
        ("stream", "False"),
        ("without_timestamps", "true"),
        ("condition_on_previous_text", "1"),
        ("beam_size", "5"),
        ("best_of", "3"),
        ("long_form", "batched"),
    ])
    .unwrap();
    assert_eq!(request.user.as_deref(), Some("speaker-7"));
    assert_eq!(request.format, ResponseFormat::VerboseJson);
    let Job::Transcribe(job) = request.options.into_job(Arc::from([0.5_f32]), None) else {
        panic!("another job")
    };
    assert_eq!(job.language.as_deref(), Some("de"));
    assert_eq!(job.prompt.as_deref(), Some("Zahlen."));
    assert_eq!(job.temperature, Temperature::Fixed(0.4));
    assert_eq!((job.timestamps, job.condition_on_previous_text, job.beams), (false, true, Some(5)));
    assert_eq!((job.best_of, job.long_form), (3, LongForm::Batched));
    assert_eq!(job.samples.len(), 1);
}

#[test]
fn the_long_form_is_the_requests_else_the_models_else_sequential() {
    use LongForm::{Batched, Sequential};
    for (pairs, models_own, expected) in [
        (&[][..], None, Sequential),
        (&[], Some(Batched), Batched),
        (&[("long_form", "sequential")], Some(Batched), Sequential),
        (&[("long_form", "batched")], None, Batched),
        // Nobody asked for both.
        (&[("condition_on_previous_text", "true")], Some(Batched), Sequential),
        // Somebody did, and the engine refuses it by name.
        (&[("condition_on_previous_text", "true"), ("long_form", "batched")], None, Batched),
    ] {
        let job = read(pairs).unwrap().options.into_job(Arc::from([0.5_f32]), models_own);
        let Job::Transcribe(job) = job else { panic!("another job") };
        assert_eq!(job.long_form, expected, "{pairs:?} {models_own:?}");
    }
}

#[test]
fn the_temperature_fields_choose_between_ladder_and_one_temperature() {
    for (pairs, expected) in [
        (&[("temperature", "0")][..], Temperature::Ladder),
        (&[("temperature", "0"), ("temperature_fallback", "true")], Temperature::Ladder),
        (&[("temperature_fallback", "false")], Temperature::Fixed(0.0)),
        (&[("temperature", "0.8"), ("temperature_fallback", "false")], Temperature::Fixed(0.8)),
    ] {
        assert_eq!(read(pairs).unwrap().options.temperature, expected, "{pairs:?}");
    }
}

#[test]
fn a_stream_is_of_plain_json() {
    assert!(!read(&[("stream", "false")]).unwrap().stream);
    assert!(read(&[("stream", "true"), ("response_format", "json")]).unwrap().stream);
    let error = read(&[("stream", "true"), ("response_format", "srt")]).unwrap_err();
    assert!(error.to_string().starts_with("stream"), "{error}");
}

#[test]
fn words_come_with_segments_or_alone() {
    for (granularities, segments, words) in [
        (&[][..], true, false),
        (&["segment"], true, false),
        (&["word"], false, true),
        (&["word", "segment"], true, true),
    ] {
        let mut pairs = vec![("response_format", "verbose_json")];
        pairs.extend(granularities.iter().map(|granularity| ("timestamp_granularities[]", *granularity)));
        let request = read(&pairs).unwrap();
        assert_eq!((request.segments, request.options.words), (segments, words), "{granularities:?}");
    }
}

#[test]
fn translations_have_their_own_fields() {
    let request = parse(Endpoint::Translations, &fields(&[("language", "de")])).unwrap();
    assert!(request.options.translate);
    for name in ["timestamp_granularities[]", "stream", "include[]", "chunking_strategy", "languages[]"] {
        let error = parse(Endpoint::Translations, &fields(&[(name, "segment")])).unwrap_err();
        assert!(error.to_string().contains("no such field"), "{name}: {error}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (name, value, refused) in [
        ("response_format", "diarized_json", true),
        ("include[]", "logprobs", true),
        ("chunking_strategy", "auto", true),
        ("chunking_strategy[type]", "server_vad", true),
        ("known_speaker_names[]", "agent", true),
        ("known_speaker_references[]", "data:audio/wav;base64,AAA=", true),
        ("languages[]", "de", true),
        ("keywords[]", "Ostler", true),
        ("response_format", "xml", false),
        ("timestamp_granularities[]", "sentence", false),
        ("timestamp_granularities[]", "segment", false),
        ("timestamp_granularities[]", "word", false),
        ("language", "klingon", false),
        ("temperature", "1.5", false),
        ("temperature", "NaN", false),
        ("temperature", "-0.1", false),
        ("temperature", "warm", false),
        ("beam_size", "0", false),
        ("beam_size", "17", false),
        ("best_of", "0", false),
        ("long_form", "parallel", false),
        ("stream", "maybe", false),
        ("without_timestamps", "yes", false),
        ("colour", "blue", false),
        ("model", "whisper", false),
    ] {
        let error = read(&[(name, value)]).unwrap_err();
        assert_eq!(error.status(), 400, "{name}={value}");
        let base = name.split('[').next().unwrap();
        assert!(error.to_string().contains(base), "{name}={value}: {error}");
        assert_eq!(error.kind() == "UnsupportedParameter", refused, "{name}={value}: {error}");
    }
    let contradiction = read(&[("temperature", "0.5"), ("temperature_fallback", "true")]).unwrap_err();
    assert!(contradiction.to_string().starts_with("temperature_fallback"));
}

#[test]
fn the_model_is_required() {
    for fields in [vec![], vec![("model".to_owned(), String::new())]] {
        let error = parse(Endpoint::Transcriptions, &fields).unwrap_err();
        assert_eq!(error.to_string(), "Invalid request: missing model parameter");
    }
}

proptest! {
    #[test]
    fn no_field_can_break_the_message_it_is_refused_with(name in "\\PC{0,40}|[\\x00-\\x1f]{1,40}", value in ".{0,300}") {
        if let Err(error) = read(&[(&name, &value)]) {
            let text = error.to_string();
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
            prop_assert!(text.len() < 2_000);
        }
    }
}
